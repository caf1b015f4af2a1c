"""The scripts by which the ledger changes Redis, one call at a time."""

from typing import Any
from uuid import UUID

import pytest
from msgspec.structs import replace
from redis.asyncio import Redis

from ledger.entries import WalletState
from ledger.money import MAX_NANOS
from ledger.redis_schema import LEDGER_GROUP, usage_stream, wallet_key
from ledger.redis_store import Acknowledgement, RedisStore
from runtime.lua import load_script
from tests.support.ledger import cache_wallet, cached_wallet, left_on_stream, settle, settled

STREAM = usage_stream(0)
WALLET = WalletState(UUID(int=1), UUID(int=2), 1000, 0, 5)


@pytest.fixture
async def redis(either_redis: Redis) -> Redis:
    await either_redis.xgroup_create(STREAM, LEDGER_GROUP, id="0", mkstream=True)
    await cache_wallet(either_redis, WALLET)
    return either_redis


async def delivered(redis: Redis, *charges: int) -> list[Acknowledgement]:
    """Settled requests that a reader has taken; what is needed to acknowledge them."""
    ids = [await settle(redis, settled(WALLET, charge)) for charge in charges]
    await redis.xreadgroup(LEDGER_GROUP, "reader", {STREAM: ">"})
    return [Acknowledgement(i, WALLET.wallet_id, charge) for i, charge in zip(ids, charges, strict=True)]


async def test_an_event_takes_its_charge_off_once_however_often_it_is_acknowledged(redis: Redis) -> None:
    first, _second = await delivered(redis, 10, 100)
    store = RedisStore(redis)
    assert await store.acknowledge(0, [first], []) == 1
    assert await store.acknowledge(0, [first], []) == 0
    assert (await cached_wallet(redis, WALLET))["unposted"] == 100
    assert await left_on_stream(redis) == (1, 1)


async def test_an_event_not_delivered_yet_is_not_acknowledged(redis: Redis) -> None:
    event_id = await settle(redis, settled(WALLET, 10))
    assert await RedisStore(redis).acknowledge(0, [Acknowledgement(event_id, WALLET.wallet_id, 10)], []) == 0
    assert (await cached_wallet(redis, WALLET))["unposted"] == 10
    assert await left_on_stream(redis) == (1, 0)


async def test_the_balance_and_what_is_unposted_move_together(redis: Redis) -> None:
    events = await delivered(redis, 10, 20)
    posted = replace(WALLET, balance_nanos=970, version=7)
    assert await RedisStore(redis).acknowledge(0, events, [posted]) == 2
    cached = await cached_wallet(redis, WALLET)
    assert (cached["balance"], cached["version"], cached["unposted"]) == (970, 7, 0)


async def test_a_late_acknowledgement_does_not_bring_back_an_older_balance(redis: Redis) -> None:
    events = await delivered(redis, 10)
    store = RedisStore(redis)
    await store.put_wallets([replace(WALLET, balance_nanos=5000, version=9)])
    await store.acknowledge(0, events, [replace(WALLET, balance_nanos=990, version=6)])
    cached = await cached_wallet(redis, WALLET)
    assert (cached["balance"], cached["version"], cached["unposted"]) == (5000, 9, 0)


async def test_what_is_unposted_never_goes_below_zero(redis: Redis) -> None:
    """A hash that was lost and loaded again knows less than the stream; more must not become available by that."""
    events = await delivered(redis, 10, 20)
    await cache_wallet(redis, WALLET)
    await RedisStore(redis).acknowledge(0, events, [])
    assert (await cached_wallet(redis, WALLET))["unposted"] == 0


async def test_charges_that_are_more_together_than_a_double_holds_come_off_exactly(redis: Redis) -> None:
    events = await delivered(redis, *[MAX_NANOS - 1] * 3, 7)
    await redis.hincrby(wallet_key(0, WALLET.wallet_id), "unposted", 5)
    assert await RedisStore(redis).acknowledge(0, events, []) == 4
    assert (await cached_wallet(redis, WALLET))["unposted"] == 5


async def test_an_unreadable_event_is_acknowledged_without_a_wallet(redis: Redis) -> None:
    added: Any = await redis.xadd(STREAM, {"x": "y"})
    await redis.xreadgroup(LEDGER_GROUP, "reader", {STREAM: ">"})
    assert await RedisStore(redis).acknowledge(0, [Acknowledgement(added.decode(), None, 0)], []) == 1
    assert await left_on_stream(redis) == (0, 0)


async def test_a_full_batch_over_as_many_wallets(redis: Redis) -> None:
    wallets = [replace(WALLET, wallet_id=UUID(int=100 + n)) for n in range(500)]
    ids = []
    for wallet in wallets:
        await cache_wallet(redis, wallet)
        ids.append(await settle(redis, settled(wallet, 3)))
    await redis.xreadgroup(LEDGER_GROUP, "reader", {STREAM: ">"})
    events = [Acknowledgement(i, wallet.wallet_id, 3) for i, wallet in zip(ids, wallets, strict=True)]
    states = [replace(wallet, balance_nanos=997, version=6) for wallet in wallets]
    assert await RedisStore(redis).acknowledge(0, events, states) == 500
    assert [(await cached_wallet(redis, wallet))["balance"] for wallet in wallets] == [997] * 500
    assert await left_on_stream(redis) == (0, 0)


async def test_a_reader_that_took_an_event_a_moment_ago_is_not_forgotten(redis: Redis) -> None:
    forget = load_script(redis, "ledger", "lua/forget_consumer.lua")
    await delivered(redis, 10)
    assert await forget(keys=[STREAM], args=[LEDGER_GROUP, "reader", 0]) == 0
    await redis.xgroup_createconsumer(STREAM, LEDGER_GROUP, "idle")
    assert await forget(keys=[STREAM], args=[LEDGER_GROUP, "idle", 3_600_000]) == 0
    assert await forget(keys=[STREAM], args=[LEDGER_GROUP, "idle", 0]) == 1
    assert await left_on_stream(redis) == (1, 1)
