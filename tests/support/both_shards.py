"""One shard on a real server beside its model, kept in step and compared after every step."""

import re
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace
from redis.asyncio import Redis

from ledger.entries import NO_LIMITS, NOTHING_SPENT, KeyLimits, KeySpent, KeyState, WalletState
from ledger.redis_schema import LEDGER_GROUP, holds_key, key_state_key, looks_key, usage_stream, wallet_key
from ledger.redis_store import Acknowledgement, RedisStore
from metering.model import Model, ModelHold
from metering.model_keys import ModelKey, Note
from metering.scripts import script
from metering.verdict import Outcome

NAMES = range(3)
KEYS = {n: UUID(int=100 + n) for n in NAMES}
# All of shard 0, whether there is one shard or five.
WALLETS = {n: UUID(int=200 + 5 * n) for n in NAMES}
STREAM, HOLDS, LOOKS = usage_stream(0), holds_key(0), looks_key(0)
LEASE_MS = 5_000
MAX_EVENTS = 8
INTEGER = re.compile(rb"-?\d+")
_LIMIT_FIELDS = ("tpm", "max_open", "budget_day", "budget_month", "budget_total")
# A machine may be busy between a step and the look at it.
_STEP_MS = 60_000
_COUNT_FIELDS = (b"day", b"month", b"used_day", b"used_month")


@dataclass(frozen=True)
class Asked:
    """One request that asks to be let in; keys, wallets and requests are numbers."""

    request: int
    key: int = 0
    wallet: int = 0
    hold: int = 0
    tokens: int = 0
    judged: str = ""
    least: int | None = None


class Ended(Struct, frozen=True):
    """One that is over."""

    request: int
    key: int = 0
    wallet: int = 0
    cost: int = 0
    has_entry: bool = True
    tokens: int = 0
    lapsed_ms: int | None = None


@dataclass(frozen=True)
class Running:
    """One that goes on, and wants more."""

    request: int
    key: int = 0
    wallet: int = 0
    believed: int = 0
    wanted: int = 0
    checkpoint: str = ""


class Both:
    """One shard of a real server and the model of it; every step is done to both, and then they are compared."""

    def __init__(self, redis: Redis, shards: int = 1) -> None:
        self.redis = redis
        self.model = Model(LEASE_MS, MAX_EVENTS)
        self.outcomes: list[Outcome] = []
        self.found: list[list[str]] = []
        self.waits_ms: list[int] = []
        self._admit = script(redis, "admit")
        self._settle = script(redis, "settle")
        self._renew = script(redis, "renew")
        self._lapsed = script(redis, "lapsed")
        self._store = RedisStore(redis, shards)

    async def empty(self) -> None:
        names = [_key(n) for n in NAMES] + [_wallet(n) for n in NAMES]
        await self.redis.delete(*names, HOLDS, STREAM, LOOKS)
        await self.redis.xgroup_create(STREAM, LEDGER_GROUP, id="0", mkstream=True)

    async def step(self, name: str, args: tuple[Any, ...]) -> None:
        await getattr(self, name)(*args)
        await self._compare()

    async def admit(self, requests: list[Asked]) -> None:
        names: list[str] = [HOLDS, STREAM]
        args: list[str | int] = [LEASE_MS, MAX_EVENTS]
        for asked in requests:
            names += [_key(asked.key), _wallet(asked.wallet)]
            least = asked.hold if asked.least is None else asked.least
            args += [str(asked.request), asked.hold, least, asked.tokens, asked.judged]
        now_ms, *answers = await self._admit(names, args)
        assert answers == [self._verdict(now_ms, asked) for asked in requests]

    def _verdict(self, now_ms: int, asked: Asked) -> list[int]:
        key, wallet = str(asked.key), str(asked.wallet)
        state = self.model.keys.get(key)
        if state is None:
            assert self._outcome(now_ms, asked) is Outcome.UNKNOWN_KEY
            return [Outcome.UNKNOWN_KEY, 0, 0, 0, 0, 0, 0]
        least = asked.hold if asked.least is None else asked.least
        (minute, day), tokens, over = (
            state.buckets_at(now_ms),
            state.tokens_at(now_ms),
            state.over_budget(least, now_ms),
        )
        outcome = self._outcome(now_ms, asked)
        left = held = 0
        if outcome is Outcome.ADMITTED:
            minute, day, tokens = state.minute, state.day, state.tokens_at(now_ms)
            held = self.model.holds[str(asked.request)].nanos
        if outcome in (Outcome.ADMITTED, Outcome.NO_FUNDS):
            left = self.model.wallets[wallet].available
        elif over is not None and over[0] is outcome:
            left = over[1]
        answer = [int(outcome), minute.capacity, minute.level, day.capacity, day.level, left, held]
        if state.limits == NO_LIMITS:
            return answer
        most = state.limits.max_concurrent_requests
        return (
            answer + ([-1, -1] if tokens is None else [tokens.capacity, tokens.level]) + [-1 if most is None else most]
        )

    def _outcome(self, now_ms: int, asked: Asked) -> Outcome:
        outcome = self.model.admit(
            str(asked.request),
            str(asked.key),
            str(asked.wallet),
            asked.hold,
            now_ms,
            least=asked.least,
            tokens=asked.tokens,
            judged=asked.judged,
        )
        self.outcomes.append(outcome)
        return outcome

    async def settle(self, requests: list[Ended]) -> None:
        names: list[str] = [HOLDS, STREAM]
        args: list[str | int] = []
        for place, ended in enumerate(requests):
            known = self.model.wallets.get(str(ended.wallet))
            if known is None or known.balance is None:
                # what nothing bounds would in the end be more than a double, or a wallet, can hold
                requests[place] = ended = replace(ended, cost=ended.cost % 1000)
            names += [_wallet(ended.wallet), _key(ended.key)]
            args += [str(ended.request), ended.cost, f"entry {ended.request}" if ended.has_entry else "", ended.tokens]
            args.append("" if ended.lapsed_ms is None else ended.lapsed_ms)
        charges = await self._settle(names, args)
        settled_ms = await self._settled_ms()
        charged = [
            self.model.settle(
                str(ended.request),
                str(ended.wallet),
                ended.cost,
                str(ended.key),
                tokens=ended.tokens,
                now_ms=settled_ms[ended.key],
                has_entry=ended.has_entry,
                lapsed_ms=ended.lapsed_ms,
            )
            for ended in requests
        ]
        assert charges == [-1 if charge is None else charge for charge in charged]

    async def renew(self, requests: list[Running]) -> None:
        names: list[str] = [HOLDS]
        args: list[str | int] = [LEASE_MS]
        for running in requests:
            names += [_key(running.key), _wallet(running.wallet)]
            args += [str(running.request), running.believed, running.wanted, running.checkpoint]
        answers = await self._renew(names, args)
        now_ms = await self._now_ms()
        held = [
            self.model.renew(
                str(running.request),
                str(running.key),
                str(running.wallet),
                running.believed,
                running.wanted,
                running.checkpoint,
                now_ms,
            )
            for running in requests
        ]
        assert answers == [-1 if nanos is None else nanos for nanos in held]

    async def lapse(self, request: int, is_lapsed: bool = True, expiry_ms: int = 0) -> None:
        """Time passes for one hold: its lease is over; or the clock was set back, and it lasts for ever."""
        hold = self.model.holds.get(str(request))
        if hold is not None:
            late_ms = expiry_ms if is_lapsed else 4_000_000_000_000
            self.model.holds[str(request)] = late = replace(hold, expiry_ms=late_ms)
            await self.redis.hset(HOLDS, str(request), _hold_text(late))

    async def look(self) -> None:
        """What lapsed is found, by one who looked a moment ago too; by one who did not, nothing is."""
        await self.redis.delete(LOOKS)
        assert await self._look() == []
        await self.redis.hset(LOOKS, "from_ms", 0)
        assert await self._look() == sorted(self.model.lapsed(await self._now_ms()))

    async def look_after(self, ms: int, pause_ms: int, from_ms: int = 0) -> None:
        """What is found when the look before was so long ago; below 0: it was before the clock was set back."""
        now_ms = await self._now_ms()
        await self.redis.hset(LOOKS, mapping={"seen_ms": now_ms - ms, "from_ms": from_ms})
        self.found.append(await self._look(pause_ms))
        looked: Any = await self.redis.hmget(LOOKS, ["seen_ms", "from_ms"])
        seen_ms, waits_until_ms = map(int, looked)
        self.waits_ms.append(max(0, waits_until_ms - seen_ms))

    async def _look(self, pause_ms: int = 1_000_000) -> list[str]:
        cursor, found = await self._lapsed([HOLDS, LOOKS], ["0", 500, LEASE_MS, pause_ms])
        assert cursor == b"0"
        return sorted(request.decode() for request in found[::2])

    async def _now_ms(self) -> int:
        time: Any = self.redis.eval("return redis.call('TIME')", 1, HOLDS)  # of the node that has them
        seconds, micros = await time
        return int(seconds) * 1000 + int(micros) // 1000

    async def _settled_ms(self) -> dict[int, int]:
        """When it was, for each key. The script does not say; where it corrected a bucket, the bucket's mark does."""
        return {n: int(await self.redis.hget(_key(n), "tpm_ms") or 0) for n in NAMES}

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

    async def put_wallet(self, wallet: int, balance: int, overdraft: int, version: int, frozen: bool = False) -> None:
        self.model.put_wallet(str(wallet), balance, overdraft, version, is_frozen=frozen)
        state = WalletState(WALLETS[wallet], UUID(int=0), balance, overdraft, version, frozen)
        await self._store.put_wallets([state])

    async def put_key(
        self,
        key: int,
        active: bool,
        expires_ms: int,
        rpm: int,
        rpd: int,
        version: int,
        frozen: bool = False,
        policy: str = "",
        limits: KeyLimits = NO_LIMITS,
        spent: KeySpent = NOTHING_SPENT,
    ) -> None:
        nobody = UUID(int=0)
        put = KeyState(KEYS[key], nobody, nobody, active, expires_ms, rpm, rpd, version, frozen, policy, limits, spent)
        state = ModelKey.fresh(
            rpm=rpm,
            rpd=rpd,
            is_active=active,
            expires_ms=expires_ms,
            version=version,
            is_frozen=frozen,
            policy_id=put.policy_id,
            limits=limits,
            spent=spent,
        )
        self.model.put_key(str(key), state)
        await self._store.put_keys([put])

    async def wait(self, key: int, ms: int) -> None:
        """Time passes for one key: its marks go back; or forward, as for a clock that was set back."""
        known = self.model.keys.get(str(key))
        if known is not None and known.buckets_ms is not None:
            known.buckets_ms -= ms
            await self.redis.hincrby(_key(key), "buckets_ms", -ms)
        if known is not None and known.tokens_ms is not None:
            known.tokens_ms -= ms
            await self.redis.hincrby(_key(key), "tpm_ms", -ms)

    async def let_days_pass(self, key: int, days: int, months: int) -> None:
        """The same for what is counted per day and month, which may go by one without the other here."""
        known = self.model.keys.get(str(key))
        if known is not None and known.used is not None:
            known.used = replace(known.used, day=known.used.day - days, month=known.used.month - months)
            await self.redis.hincrby(_key(key), "day", -days)
            await self.redis.hincrby(_key(key), "month", -months)

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
        assert [self._seen_at_key(n, found) for n, found in zip(NAMES, hashes[3:], strict=True)] == [
            self._key_fields(n) for n in NAMES
        ]
        self._compare_holds({request.decode(): text.decode() for request, text in holds.items()}, await self._now_ms())
        assert [(fields[b"entry"], _integer(fields[b"charge"])) for _, fields in events] == [
            (f"entry {request}".encode(), charge) for request, _, charge in self.model.events
        ]

    def _compare_holds(self, found: dict[str, str], now_ms: int) -> None:
        """Leases end when the server's clock says, which no script tells: here they end within a step's time."""
        assert found.keys() == self.model.holds.keys()
        for request, hold in self.model.holds.items():
            expiry_ms = int(found[request].split()[1])
            if expiry_ms != hold.expiry_ms:
                assert hold.expiry_ms > 0 and abs(expiry_ms - now_ms - LEASE_MS) < _STEP_MS
                self.model.holds[request] = hold = replace(hold, expiry_ms=expiry_ms)
            assert found[request] == _hold_text(hold)

    def _wallet_fields(self, name: int) -> dict[str, int]:
        """What must be there; a sum that is 0 need not be, and stays if it once was."""
        wallet = self.model.wallets.get(str(name))
        if wallet is None:
            return {}
        fields = {"held": wallet.held, "unposted": wallet.unposted}
        if wallet.balance is not None:
            fields |= {"balance": wallet.balance, "overdraft": wallet.overdraft, "version": wallet.version}
            fields["frozen"] = int(wallet.is_frozen)
        return {field: value for field, value in fields.items() if value}

    def _key_fields(self, name: int) -> dict[str, Any]:
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
        if key.tokens_ms is not None:
            fields |= {"tpm_level": key.tokens_level, "tpm_ms": key.tokens_ms}
        fields |= {"frozen": int(key.is_frozen), "open": len(key.open), "counting": key.counting}
        if key.used is not None:
            fields |= {f"used_{name}": value for name, value in _periods(key.used).items()}
            fields |= {"day": key.used.day, "month": key.used.month}
        limits = {name: value for name, value in _limit_fields(key.limits).items() if value is not None}
        found: dict[str, Any] = {field: value for field, value in fields.items() if value}
        is_special = bool(limits or key.is_frozen or key.policy_id)
        found |= limits | {"limited": int(bool(limits)), "special": int(is_special)}
        return found | {"notes": key.open, "policy_id": key.policy_id}

    def _seen_at_key(self, name: int, found: dict[bytes, bytes]) -> dict[str, Any]:
        """As `_key_fields`: what is 0 is as good as not there, except where 0 is a limit."""
        if not found:
            return {}
        policy, policy_id = found.pop(b"policy", b""), found.pop(b"policy_id", b"").decode()
        assert bool(policy) == bool(policy_id)
        notes = {field.decode(): Note(*map(int, found.pop(field).split())) for field in list(found) if field.isdigit()}
        if b"used_total" not in found:  # nobody counts: what was counted before is left where it is
            found = {field: value for field, value in found.items() if field not in _COUNT_FIELDS}
        numbers = {field.decode(): _integer(value) for field, value in found.items()}
        kept = {field: value for field, value in numbers.items() if value or field in _LIMIT_FIELDS}
        kept |= {name: numbers.get(name, 0) for name in ("limited", "special")}
        return kept | {"notes": notes, "policy_id": policy_id}


def _limit_fields(limits: KeyLimits) -> dict[str, int | None]:
    return {
        "tpm": limits.tokens_per_minute,
        "max_open": limits.max_concurrent_requests,
        "budget_day": limits.budget_day_nanos,
        "budget_month": limits.budget_month_nanos,
        "budget_total": limits.budget_total_nanos,
    }


def _periods(used: KeySpent) -> dict[str, int]:
    return {"day": used.day_nanos, "month": used.month_nanos, "total": used.total_nanos}


def _hold_text(hold: ModelHold) -> str:
    ids = WALLETS[int(hold.wallet)], KEYS[int(hold.key)]
    return f"{hold.nanos} {hold.expiry_ms} {ids[0]} {ids[1]} {hold.checkpoint}"


def _key(name: int) -> str:
    return key_state_key(0, KEYS[name])


def _wallet(name: int) -> str:
    return wallet_key(0, WALLETS[name])


def _integer(text: bytes) -> int:
    assert INTEGER.fullmatch(text), text
    return int(text)


def _integers(found: dict[bytes, bytes]) -> dict[str, int]:
    return {name.decode(): number for name, value in found.items() if (number := _integer(value)) or name.isdigit()}
