"""What the ledger changes in Redis: acknowledged events and the cached state of wallets and keys, by script."""

from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar
from uuid import UUID

import orjson
from msgspec import Struct
from redis.asyncio import Redis
from redis.exceptions import RedisError

from ledger import redis_schema as schema
from ledger.entries import KeyState, WalletState
from runtime.lua import load_script

AnyState = TypeVar("AnyState", WalletState, KeyState)

# A key that nobody used for so long has full buckets, so forgetting their state changes no limit; it is loaded again.
KEY_TTL_MS = 2 * 24 * 3600 * 1000
# The version of a key that was deleted: newer than any. A double holds it exactly.
GONE_VERSION = 2**53 - 1
_UNKNOWN = (None, None, None, None)


class Acknowledgement(Struct, frozen=True):
    """One event that is done. `wallet_id` None: it could not be read, so no charge is known."""

    event_id: str
    wallet_id: UUID | None
    charge_nanos: int


@dataclass(slots=True)
class Away:
    """The shards that could not be reached while something was brought to many of them, and why.

    One that is away is left alone from then on: its time-outs must not keep what is meant for the others.
    """

    errors: dict[int, RedisError] = field(default_factory=dict)

    @contextmanager
    def noted(self, shard: int) -> Iterator[None]:
        try:
            yield
        except RedisError as error:
            self.errors[shard] = error

    def raise_any(self) -> None:
        for error in self.errors.values():
            raise error


class RedisStore:
    """Needs a client that returns bytes. All methods raise redis.RedisError.

    Those that take `away` go on with the other shards past one that cannot be reached, note it there, and do not
    raise; without it they do the same and raise at the end.
    """

    def __init__(self, redis: Redis, shards: int = 1) -> None:
        self._redis = redis
        self.shards = shards
        self._acknowledge = load_script(redis, "ledger", "lua/acknowledge.lua")
        self._put_wallet = load_script(redis, "ledger", "lua/put_wallet.lua")
        self._put_key = load_script(redis, "ledger", "lua/put_key.lua")

    async def acknowledge(self, shard: int, events: Sequence[Acknowledgement], wallets: Iterable[WalletState]) -> int:
        """Ends these events and puts the wallets' new balances; returns how many were still pending."""
        states = {wallet.wallet_id: wallet for wallet in wallets}
        ids = list(dict.fromkeys([event.wallet_id for event in events if event.wallet_id] + list(states)))
        places = {wallet_id: place for place, wallet_id in enumerate(ids, start=1)}
        keys = [schema.usage_stream(shard), *(schema.wallet_key(shard, wallet_id) for wallet_id in ids)]
        # As JSON: thousands of arguments take longer to write, here, and to read, there, than two.
        done: list[str | int] = []
        for event in events:
            done += (event.event_id, places[event.wallet_id] if event.wallet_id else 0, event.charge_nanos)
        known: list[int | None] = []
        for wallet_id in ids:
            known += _wallet_args(states[wallet_id]) if wallet_id in states else _UNKNOWN
        args: list[str | bytes] = [schema.LEDGER_GROUP, orjson.dumps(done), orjson.dumps(known)]
        return int(await self._acknowledge(keys=keys, args=args))

    async def put_wallets(
        self, wallets: Iterable[WalletState], *, only_known: bool = False, away: Away | None = None
    ) -> int:
        """Brings wallets up to date where Redis has an older version; returns how many were."""

        async def put_of(shard: int, states: Sequence[WalletState]) -> int:
            keys = [schema.wallet_key(shard, state.wallet_id) for state in states]
            args = [arg for state in states for arg in _wallet_args(state)]
            return int(await self._put_wallet(keys=keys, args=[int(only_known), *args]))

        return await _on_each(self._by_shard(wallets), put_of, away)

    async def put_keys(self, keys: Iterable[KeyState], *, only_known: bool = False, away: Away | None = None) -> int:
        """Brings API keys up to date where Redis has an older version; returns how many were."""
        return await _on_each(self._by_shard(keys), partial(self._put_keys_of, only_known), away)

    async def put_deleted_keys(self, key_ids: Sequence[UUID], *, away: Away | None = None) -> None:
        """Marks keys that Postgres no longer has as revoked. Their wallet is not known any more, so on every shard."""
        nobody = UUID(int=0)
        gone = [KeyState(key_id, nobody, nobody, False, 0, 0, 0, GONE_VERSION) for key_id in key_ids]
        everywhere = dict.fromkeys(range(self.shards), gone) if gone else {}
        await _on_each(everywhere, partial(self._put_keys_of, False), away)

    async def _put_keys_of(self, only_known: bool, shard: int, states: Sequence[KeyState]) -> int:
        names = [schema.key_state_key(shard, state.key_id) for state in states]
        args = [arg for state in states for arg in _key_args(state)]
        return int(await self._put_key(keys=names, args=[int(only_known), KEY_TTL_MS, *args]))

    def _by_shard(self, states: Iterable[AnyState]) -> dict[int, list[AnyState]]:
        shards: dict[int, list[AnyState]] = defaultdict(list)
        for state in states:
            shards[schema.shard_of(state.wallet_id, self.shards)].append(state)
        return shards


async def _on_each(
    states: Mapping[int, Sequence[AnyState]],
    put_of: Callable[[int, Sequence[AnyState]], Awaitable[int]],
    away: Away | None,
) -> int:
    found = Away() if away is None else away
    put = 0
    for shard in states.keys() - found.errors.keys():
        with found.noted(shard):
            put += await put_of(shard, states[shard])
    if away is None:
        found.raise_any()
    return put


def _wallet_args(state: WalletState) -> list[int]:
    return [state.balance_nanos, state.overdraft_nanos, state.version, int(state.is_frozen)]


def _key_args(state: KeyState) -> list[str | int]:
    """In the order of `put_key.lua`; what there is not is an empty text."""
    limits, spent = state.limits, state.spent
    return [
        int(state.is_active),
        state.expires_ms,
        state.requests_per_minute,
        state.requests_per_day,
        state.version,
        "1" if state.is_frozen else "",
        state.policy,
        state.policy_id,
        _or_empty(limits.tokens_per_minute),
        _or_empty(limits.max_concurrent_requests),
        _or_empty(limits.budget_day_nanos),
        _or_empty(limits.budget_month_nanos),
        _or_empty(limits.budget_total_nanos),
        spent.day,
        spent.month,
        spent.day_nanos,
        spent.month_nanos,
        spent.total_nanos,
    ]


def _or_empty(limit: int | None) -> str | int:
    return "" if limit is None else limit
