"""One shard on a real server beside its model, kept in step and compared after every step."""

import re
from typing import Any
from uuid import UUID

from redis.asyncio import Redis

from ledger.entries import KeyState, WalletState
from ledger.redis_schema import LEDGER_GROUP, holds_key, key_state_key, usage_stream, wallet_key
from ledger.redis_store import Acknowledgement, RedisStore
from metering.model import Model, ModelKey, Outcome
from runtime.lua import load_script

NAMES = range(3)
KEYS = {n: UUID(int=100 + n) for n in NAMES}
WALLETS = {n: UUID(int=200 + n) for n in NAMES}
STREAM, HOLDS = usage_stream(0), holds_key(0)
INTEGER = re.compile(rb"-?\d+")


class Both:
    """One shard of a real server and the model of it; every step is done to both, and then they are compared."""

    def __init__(self, redis: Redis) -> None:
        self.redis = redis
        self.model = Model()
        self.outcomes: list[Outcome] = []
        self._admit = load_script(redis, "metering", "lua/admit.lua")
        self._settle = load_script(redis, "metering", "lua/settle.lua")
        self._store = RedisStore(redis)

    async def empty(self) -> None:
        names = [_key(n) for n in NAMES] + [_wallet(n) for n in NAMES]
        await self.redis.delete(*names, HOLDS, STREAM)
        await self.redis.xgroup_create(STREAM, LEDGER_GROUP, id="0", mkstream=True)

    async def step(self, name: str, args: tuple[Any, ...]) -> None:
        await getattr(self, name)(*args)
        await self._compare()

    async def admit(self, requests: list[tuple[int, int, int, int]]) -> None:
        names: list[str] = [HOLDS]
        args: list[str | int] = []
        for request, key, wallet, hold in requests:
            names += [_key(key), _wallet(wallet)]
            args += [str(request), hold]
        now_ms, *answers = await self._admit(names, args)
        assert answers == [self._verdict(now_ms, *request) for request in requests]

    def _verdict(self, now_ms: int, request: int, key_name: int, wallet_name: int, hold: int) -> list[int]:
        key = self.model.keys.get(str(key_name))
        minute, day = key.buckets_at(now_ms) if key else (None, None)
        outcome = self.model.admit(str(request), str(key_name), str(wallet_name), hold, now_ms)
        self.outcomes.append(outcome)
        if key is None or minute is None or day is None:
            return [outcome, 0, 0, 0, 0, 0]
        if outcome is Outcome.ADMITTED:
            minute, day = key.minute, key.day
        told = outcome in (Outcome.ADMITTED, Outcome.NO_FUNDS)
        available = self.model.wallets[str(wallet_name)].available if told else 0
        return [outcome, minute.capacity, minute.level, day.capacity, day.level, available]

    async def settle(self, requests: list[tuple[int, int, int, bool]]) -> None:
        names: list[str] = [HOLDS, STREAM]
        args: list[str | int] = []
        charges = []
        for request, wallet, cost, has_entry in requests:
            known = self.model.wallets.get(str(wallet))
            # what nothing bounds would in the end be more than a double, or a wallet, can hold
            cost = cost if known is not None and known.balance is not None else cost % 1000
            names.append(_wallet(wallet))
            args += [str(request), cost, f"entry {request}" if has_entry else ""]
            if has_entry:
                charges.append(self.model.settle(str(request), str(wallet), cost))
            else:
                self.model.release(str(request), str(wallet))
                charges.append(0)
        assert await self._settle(names, args) == charges

    async def acknowledge(self, count: int, balance: int) -> None:
        """A writer reads some events, posts them and says so, with a new balance for the first one's wallet."""
        reply: Any = await self.redis.xreadgroup(LEDGER_GROUP, "writer", {STREAM: ">"}, count=count)
        ids = [event_id.decode() for event_id, _ in reply[0][1]] if reply else []
        taken = self.model.events[: len(ids)]
        events = [
            Acknowledgement(i, WALLETS[int(wallet)], charge) for i, (_, wallet, charge) in zip(ids, taken, strict=True)
        ]
        states = []
        for _ in taken:
            self.model.acknowledge(0)
        if taken and self.model.wallets[taken[0][1]].balance is not None:
            name = taken[0][1]
            version = self.model.wallets[name].version + 1
            self.model.put_wallet(name, balance, 0, version)
            states.append(WalletState(WALLETS[int(name)], UUID(int=0), balance, 0, version))
        assert await self._store.acknowledge(0, events, states) == len(ids)
        assert await self._store.acknowledge(0, events, states) == 0

    async def put_wallet(self, wallet: int, balance: int, overdraft: int, version: int) -> None:
        self.model.put_wallet(str(wallet), balance, overdraft, version)
        await self._store.put_wallets([WalletState(WALLETS[wallet], UUID(int=0), balance, overdraft, version)])

    async def put_key(self, key: int, active: bool, expires_ms: int, rpm: int, rpd: int, version: int) -> None:
        state = ModelKey.fresh(rpm=rpm, rpd=rpd, is_active=active, expires_ms=expires_ms, version=version)
        self.model.put_key(str(key), state)
        nobody = UUID(int=0)
        await self._store.put_keys([KeyState(KEYS[key], nobody, nobody, active, expires_ms, rpm, rpd, version)])

    async def wait(self, key: int, ms: int) -> None:
        """Time passes for one key: its mark goes back; or forward, as for a clock that was set back."""
        known = self.model.keys.get(str(key))
        if known is not None and known.buckets_ms is not None:
            known.buckets_ms -= ms
            await self.redis.hincrby(_key(key), "buckets_ms", -ms)

    async def _compare(self) -> None:
        pipeline = self.redis.pipeline(transaction=False)
        for n in NAMES:
            pipeline.hgetall(_wallet(n))
        for n in NAMES:
            pipeline.hgetall(_key(n))
        pipeline.hgetall(HOLDS)
        pipeline.xrange(STREAM)
        *hashes, holds, events = await pipeline.execute()
        assert [_integers(found) for found in hashes[:3]] == [self._wallet_fields(n) for n in NAMES]
        assert [_integers(found) for found in hashes[3:]] == [self._key_fields(n) for n in NAMES]
        assert _integers(holds) == self.model.holds
        assert [(fields[b"entry"], _integer(fields[b"charge"])) for _, fields in events] == [
            (f"entry {request}".encode(), charge) for request, _, charge in self.model.events
        ]

    def _wallet_fields(self, name: int) -> dict[str, int]:
        """What must be there; a sum that is 0 need not be, and stays if it once was."""
        wallet = self.model.wallets.get(str(name))
        if wallet is None:
            return {}
        fields = {"held": wallet.held, "unposted": wallet.unposted}
        if wallet.balance is not None:
            fields |= {"balance": wallet.balance, "overdraft": wallet.overdraft, "version": wallet.version}
        return {field: value for field, value in fields.items() if value}

    def _key_fields(self, name: int) -> dict[str, int]:
        key = self.model.keys.get(str(name))
        if key is None:
            return {}
        fields = {
            "active": int(key.is_active),
            "expires_ms": key.expires_ms,
            "rpm": key.minute.capacity,
            "rpd": key.day.capacity,
            "version": key.version,
        }
        if key.buckets_ms is not None:
            fields |= {"rpm_level": key.minute.level, "rpd_level": key.day.level, "buckets_ms": key.buckets_ms}
        return {field: value for field, value in fields.items() if value}


def _key(name: int) -> str:
    return key_state_key(0, KEYS[name])


def _wallet(name: int) -> str:
    return wallet_key(0, WALLETS[name])


def _integer(text: bytes) -> int:
    assert INTEGER.fullmatch(text), text
    return int(text)


def _integers(found: dict[bytes, bytes]) -> dict[str, int]:
    return {name.decode(): number for name, value in found.items() if (number := _integer(value)) or name.isdigit()}
