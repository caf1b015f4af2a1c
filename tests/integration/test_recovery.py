"""Requests whose proxy is gone, on a real Valkey: settled at their last checkpoint, once, and only when they may be."""

import asyncio
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest
from redis.asyncio import Redis

from ledger.audit import audit
from ledger.balances import StateMirror
from ledger.entries import RECOVERED, KeyLimits, KeyState, UsageEntry
from ledger.postgres import Store
from ledger.redis_schema import holds_key, key_state_key
from ledger.redis_store import RedisStore
from ledger.writer import LedgerWriter
from metering.admission import Admission, Limits
from metering.leases import LEASE_MS
from metering.recovery import Recovery
from proxy import redis_client
from runtime.clock import wall_ms
from runtime.ids import new_request_id
from runtime.postgres import create_pool
from runtime.tasks import TaskSet
from tests.support.leases import LONG_MS, end_leases, hold_of, open_request, redis_ms, renew, somebody_looks
from tests.support.ledger import USD, cached_wallet, everything_posted, funded_wallet, until
from tests.support.limits import KEY, WALLET, Postgres, events, held

PATIENT_S = 30.0


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    client = redis_client.connect(redis_url, PATIENT_S)
    yield client
    await client.aclose()


async def limits_over(redis: Redis, key: KeyState = KEY) -> Limits:
    postgres = Postgres(redis, [WALLET], [key])
    await postgres.push_wallets([WALLET.wallet_id])
    await postgres.push_keys([key.key_id])
    return Limits(redis, postgres)


async def recover(redis: Redis) -> int:
    """As who has been looking all the time."""
    await somebody_looks(redis)
    return await Recovery(redis, pause_ms=LONG_MS).look()


async def entries(redis: Redis) -> list[UsageEntry]:
    return [UsageEntry.from_json(event[b"entry"]) for event in await events(redis)]


async def test_a_proxy_that_stops_is_recovered_when_its_leases_are_over_and_not_before(redis: Redis) -> None:
    """In real time, by the first that ever looks."""
    limits = await limits_over(redis)
    opened = await open_request(limits, 100, noted=40)
    await renew(limits, opened)
    found = await hold_of(redis, opened.request.request_id)
    assert found is not None
    recovery = Recovery(redis, pause_ms=LONG_MS)
    began_ms = await redis_ms(redis)

    async def is_recovered() -> bool:
        return await recovery.look() == 1

    await until(is_recovered)
    assert await redis_ms(redis) >= max(found[1], began_ms + LEASE_MS)
    assert await entries(redis) == [opened.entry(40)]
    cached = await cached_wallet(redis, WALLET)
    assert (cached["held"], cached["unposted"], await redis.hlen(holds_key(0))) == (0, 40, 0)


async def test_what_was_noted_is_charged_and_what_was_not_is_let_go(redis: Redis) -> None:
    limits = await limits_over(redis)
    noted, silent = await open_request(limits, 100, noted=40), await open_request(limits, 200)
    living = await open_request(limits, 300, noted=1)
    await renew(limits, noted, silent)
    await end_leases(redis)
    await renew(limits, living)
    assert await recover(redis) == 2
    assert await entries(redis) == [noted.entry(40)]
    assert (await held(redis), (await cached_wallet(redis, WALLET))["unposted"]) == ((300, 1), 40)
    assert await recover(redis) == 0
    assert noted.entry(40).end_reason == RECOVERED and silent.noted is None


async def test_it_is_charged_no_more_than_it_held_and_the_wallet_has(redis: Redis) -> None:
    limits = await limits_over(redis)
    opened = await open_request(limits, 100, noted=5_000)
    await renew(limits, opened)
    await end_leases(redis)
    assert await recover(redis) == 1
    assert (await cached_wallet(redis, WALLET))["unposted"] == WALLET.balance_nanos


async def test_its_key_gets_back_what_it_had_taken(redis: Redis) -> None:
    key_limits = KeyLimits(max_concurrent_requests=1, budget_total_nanos=150)
    key = KeyState(KEY.key_id, WALLET.wallet_id, WALLET.user_id, True, 0, 99, 99, 1, limits=key_limits)
    limits = await limits_over(redis, key)
    opened = await open_request(limits, 100, noted=40)
    await renew(limits, opened)
    await end_leases(redis)
    assert await recover(redis) == 1
    state = await redis.hmget(key_state_key(0, KEY.key_id), ["open", "used_total"])
    assert state == [b"0", b"40"]
    await open_request(limits, 110)


async def test_a_proxy_that_is_only_late_gets_its_hold_back_and_settles_truly(redis: Redis) -> None:
    limits = await limits_over(redis)
    opened = await open_request(limits, 100, noted=40)
    await renew(limits, opened)
    await end_leases(redis)
    assert await recover(redis) == 1
    opened.noted = 50
    await renew(limits, opened)
    assert await held(redis) == (100, 1)
    assert await limits.leases.extend(opened.lease, 20) == 120
    assert await limits.settle(opened.settlement(115)) == 115
    assert [(each.cost_nanos, each.end_reason) for each in await entries(redis)] == [
        (40, RECOVERED),
        (115, "completed"),
    ]
    assert await held(redis) == (0, 0)


async def test_a_lease_that_is_renewed_between_the_look_and_the_settlement_stays(redis: Redis) -> None:
    limits = await limits_over(redis)
    opened = await open_request(limits, 100, noted=40)
    await renew(limits, opened)
    await end_leases(redis)
    await somebody_looks(redis)
    recovery = Recovery(redis, pause_ms=LONG_MS)
    settle_all = recovery._settle_all

    async def renewed_first(shard: int, found: list[object]) -> int:
        assert len(found) == 1
        await renew(limits, opened)
        await end_leases(redis, in_ms=-1_000)  # another end than it was seen with, however fast this is
        return await settle_all(shard, found)  # type: ignore[arg-type]

    recovery._settle_all = renewed_first  # type: ignore[method-assign,assignment]  # the slowness is played
    assert await recovery.look() == 0
    assert (await events(redis), await held(redis)) == ([], (100, 1))


async def test_any_number_may_recover_at_once_and_each_is_settled_once(redis: Redis, redis_url: str) -> None:
    limits = await limits_over(redis)
    opened = [await open_request(limits, 1, noted=1) for _ in range(200)]
    await renew(limits, *opened)
    await end_leases(redis)
    await somebody_looks(redis)
    clients = [redis_client.connect(redis_url, PATIENT_S) for _ in range(4)]
    counts = await asyncio.gather(*(Recovery(client, pause_ms=LONG_MS).look() for client in clients))
    assert sum(counts) == 200
    found = await entries(redis)
    assert sorted(each.request_id for each in found) == sorted(each.request.request_id for each in opened)
    assert (await held(redis), (await cached_wallet(redis, WALLET))["unposted"]) == ((0, 0), 200)
    for client in clients:
        await client.aclose()


async def test_more_holds_than_fit_a_page_are_all_found(redis: Redis) -> None:
    limits = await limits_over(redis)
    opened = [await open_request(limits, 0) for _ in range(1_200)]
    await end_leases(redis)
    assert await recover(redis) == len(opened)
    assert await held(redis) == (0, 0)


async def test_a_checkpoint_that_cannot_be_read_lets_the_hold_go(redis: Redis) -> None:
    limits = await limits_over(redis)
    opened = await open_request(limits, 100)
    opened.lease.checkpoint = lambda: b"{ no entry }"
    await renew(limits, opened)
    await end_leases(redis)
    assert await recover(redis) == 1
    assert (await held(redis), await events(redis)) == ((0, 0), [])


async def test_a_renewal_that_ran_too_late_costs_nothing_a_second_time(redis: Redis, database_url: str) -> None:
    """To the end: the true settlement is posted, then what was recovered of the same request, and that is no money."""
    pool = await create_pool(database_url, max_size=4)
    store, tasks, stop = Store(pool), TaskSet(), asyncio.Event()
    wallet = await funded_wallet(store, 10 * USD)
    key = KeyState(uuid4(), wallet.wallet_id, wallet.user_id, True, 0, 99, 99, 1)
    await RedisStore(redis).put_keys([key])
    await RedisStore(redis).put_wallets([wallet])
    limits = Limits(redis, StateMirror(RedisStore(redis), store, database_url))
    request = Admission(new_request_id(wall_ms()), key.key_id, wallet.wallet_id, USD)
    opened = await open_request(limits, USD, request, wallet=wallet, noted=USD // 4)
    assert await limits.settle(opened.settlement(USD // 2)) == USD // 2
    limits.leases.open(opened.lease)
    await renew(limits, opened)
    assert limits.leases.close(request.request_id) is None
    await end_leases(redis)
    assert await recover(redis) == 1
    writing = tasks.spawn(LedgerWriter(redis, store, 0, "writer").run(stop), name="writer")
    await everything_posted(redis)
    stop.set()
    await writing
    (state,) = await store.wallet_states([wallet.wallet_id])
    assert state.balance_nanos == 10 * USD - USD // 2
    cached = await cached_wallet(redis, wallet)
    assert (cached["held"], cached["unposted"]) == (0, 0)
    assert (await audit(pool)).holds
    await pool.close()
