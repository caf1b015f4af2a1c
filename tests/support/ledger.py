"""Builders for wallets, settled usage and the events settlement leaves on the stream."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID, uuid4

from msgspec.structs import replace
from redis.asyncio import Redis

from ledger.entries import SettledEntry, UsageEntry, WalletState
from ledger.postgres import Store
from ledger.redis_schema import LEDGER_GROUP, usage_stream, wallet_key
from runtime.clock import wall_ms
from runtime.ids import new_request_id

USD = 1_000_000_000


def usage_entry(wallet: WalletState, cost_nanos: int = 1000, **changes: Any) -> UsageEntry:
    entry = UsageEntry(
        request_id=new_request_id(wall_ms()),
        user_id=wallet.user_id,
        wallet_id=wallet.wallet_id,
        api_key_id=UUID(int=7),
        pricing_id=None,
        model="tiny",
        endpoint="/v1/chat/completions",
        input_tokens=10,
        cached_input_tokens=3,
        cache_write_tokens=2,
        output_tokens=20,
        reasoning_tokens=5,
        cost_nanos=cost_nanos,
        usage_source="reported",
        end_reason="complete",
        status_code=200,
        response_time_ms=12,
        error_message=None,
        metadata={},
    )
    return replace(entry, **changes)


def settled(wallet: WalletState, cost_nanos: int = 1000, *, charge: int | None = None, **changes: Any) -> SettledEntry:
    charge_nanos = cost_nanos if charge is None else charge
    return SettledEntry("1-1", usage_entry(wallet, cost_nanos, **changes), charge_nanos)


async def funded_wallet(store: Store, nanos: int = 10 * USD) -> WalletState:
    wallet = await store.ensure_wallet(uuid4())
    if nanos:
        await store.record(wallet.wallet_id, "bonus", nanos, "to start with")
    (state,) = await store.wallet_states([wallet.wallet_id])
    return state


async def settle(redis: Redis, entry: SettledEntry, shard: int = 0) -> str:
    """Leaves in Redis what settlement leaves; returns the event's id."""
    await redis.hincrby(wallet_key(shard, entry.entry.wallet_id), "unposted", entry.charge_nanos)
    fields: dict[Any, Any] = {"entry": entry.entry.to_json(), "charge": str(entry.charge_nanos)}
    event_id: Any = await redis.xadd(usage_stream(shard), fields)
    return str(event_id.decode())


async def cache_wallet(redis: Redis, wallet: WalletState, shard: int = 0) -> None:
    """Leaves in Redis what admission leaves of a wallet it has loaded."""
    fields: dict[Any, Any] = {
        "balance": wallet.balance_nanos,
        "overdraft": wallet.overdraft_nanos,
        "version": wallet.version,
        "held": 0,
        "unposted": 0,
    }
    await redis.hset(wallet_key(shard, wallet.wallet_id), mapping=fields)


async def cached_wallet(redis: Redis, wallet: WalletState, shard: int = 0) -> dict[str, int]:
    found: dict[Any, Any] = await redis.hgetall(wallet_key(shard, wallet.wallet_id))
    return {name.decode(): int(value) for name, value in found.items()}


async def left_on_stream(redis: Redis, shard: int = 0) -> tuple[int, int]:
    """How many events are on the stream, and how many are pending for a reader."""
    groups = await redis.xinfo_groups(usage_stream(shard))
    pending = sum(group["pending"] for group in groups if group["name"] == LEDGER_GROUP.encode())
    return await redis.xlen(usage_stream(shard)), pending


async def until(reached: Callable[[], Awaitable[bool]]) -> None:
    """Asks again and again, as what is waited for happens in a server; fails after a minute."""
    async with asyncio.timeout(60):
        while not await reached():  # noqa: ASYNC110 -- see above
            await asyncio.sleep(0.01)


async def everything_posted(redis: Redis, shard: int = 0) -> None:
    """Waits until no event is left, neither new nor pending."""

    async def nothing_left() -> bool:
        return await left_on_stream(redis, shard) == (0, 0)

    await until(nothing_left)
