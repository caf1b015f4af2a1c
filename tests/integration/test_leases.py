"""Leases on a real Valkey: renewed, lost with it and placed again, and out of the way of the settlement."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from redis.asyncio import Redis

from ledger.entries import UsageEntry
from ledger.redis_schema import holds_key
from metering.admission import Limits
from metering.leases import LEASE_MS
from metering.recovery import Recovery
from metering.scripts import script
from proxy import redis_client
from runtime.clock import monotonic_ms
from runtime.embedded.valkey import EmbeddedValkey
from runtime.tasks import TaskSet
from tests.support.leases import LONG_MS, end_leases, hold_of, open_request, redis_ms, renew, somebody_looks
from tests.support.ledger import cached_wallet
from tests.support.ledger import until as until_in_server
from tests.support.limits import BOUND_S, KEY, WALLET, Postgres, events, held
from tests.support.waiting import until

# A busy machine, or a test that holds Redis back, is not a Redis that is away.
PATIENT_S = 30.0


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    client = redis_client.connect(redis_url, PATIENT_S)
    yield client
    await client.aclose()


async def limits_over(redis: Redis) -> tuple[Limits, Postgres]:
    postgres = Postgres(redis, [WALLET], [KEY])
    await postgres.push_wallets([WALLET.wallet_id])
    await postgres.push_keys([KEY.key_id])
    postgres.asked.clear()
    return Limits(redis, postgres), postgres


async def test_a_renewed_lease_lasts_longer_and_says_how_far_its_request_is(redis: Redis) -> None:
    limits, _ = await limits_over(redis)
    opened = await open_request(limits, 100, noted=7)
    await end_leases(redis)
    before_ms = await redis_ms(redis)
    await renew(limits, opened)
    found = await hold_of(redis, opened.request.request_id)
    assert found is not None
    nanos, expiry_ms, checkpoint = found
    assert nanos == 100 and before_ms + LEASE_MS <= expiry_ms <= await redis_ms(redis) + LEASE_MS
    assert UsageEntry.from_json(checkpoint) == opened.entry(7)


async def test_more_is_held_while_it_runs_and_can_be_charged(redis: Redis) -> None:
    limits, _ = await limits_over(redis)
    first, second = await open_request(limits, 100), await open_request(limits, 100)
    assert await limits.leases.extend(first.lease, 500) == 600
    assert await limits.leases.extend(second.lease, 500) == 400
    assert await limits.leases.extend(second.lease, 1) == 400
    assert await held(redis) == (WALLET.balance_nanos, 2)
    for each, cost in ((first, 600), (second, 400)):
        assert await limits.settle(each.settlement(cost)) == cost
    cached = await cached_wallet(redis, WALLET)
    assert (cached["held"], cached["unposted"]) == (0, WALLET.balance_nanos)


async def test_many_extensions_never_hold_more_than_there_is(redis: Redis) -> None:
    limits, _ = await limits_over(redis)
    opened = [await open_request(limits, 10) for _ in range(20)]
    granted = await asyncio.gather(*(limits.leases.extend(each.lease, 90) for each in opened))
    assert sum(nanos or 0 for nanos in granted) == WALLET.balance_nanos
    assert await held(redis) == (WALLET.balance_nanos, 20)


async def test_a_redis_that_was_emptied_gets_its_wallets_and_its_holds_back(redis: Redis) -> None:
    limits, postgres = await limits_over(redis)
    opened = [await open_request(limits, 100, noted=n) for n in (1, 2, 3)]
    await redis.flushall()
    assert await limits.leases.extend(opened[0].lease, 50) is None, "nobody knows what there is"
    assert postgres.asked == [WALLET.wallet_id]
    await renew(limits, *opened)
    assert await held(redis) == (300, 3)
    assert [each.lease.held_nanos for each in opened] == [100] * 3
    assert await limits.leases.extend(opened[0].lease, 50) == 150
    assert await asyncio.gather(*(limits.settle(each.settlement(100)) for each in opened)) == [100] * 3
    cached = await cached_wallet(redis, WALLET)
    assert (cached["balance"], cached["held"], cached["unposted"]) == (WALLET.balance_nanos, 0, 300)


async def test_an_emptied_redis_gives_back_no_more_than_the_wallet_has(redis: Redis) -> None:
    """Somebody else was quicker: what is not there is not held."""
    limits, postgres = await limits_over(redis)
    opened = await open_request(limits, 800)
    await redis.flushall()
    await postgres.push_wallets([WALLET.wallet_id])
    await open_request(limits, 700)
    await renew(limits, opened)
    assert (opened.lease.held_nanos, await held(redis)) == (300, (WALLET.balance_nanos, 2))


async def test_a_settlement_waits_for_the_renewal_under_way(redis: Redis, redis_url: str) -> None:
    limits, _ = await limits_over(redis)
    opened = await open_request(limits, 100, noted=5)
    watching, tasks = Redis.from_url(redis_url), TaskSet()
    await watching.client_pause(60_000, all=False)
    renewing = tasks.spawn(renew(limits, opened), name="renew")
    await until(lambda: opened.lease.renewal is not None)
    charge = limits.settle(opened.settlement(60))
    assert len(limits.leases) == 0, "nobody renews it any more"
    await watching.client_unpause()
    assert await charge == 60
    await renewing
    assert await held(redis) == (0, 0)
    assert [UsageEntry.from_json(event[b"entry"]).end_reason for event in await events(redis)] == ["completed"]
    assert await limits.drain(BOUND_S) == 0
    await watching.aclose()


async def test_a_settlement_and_an_extension_do_not_pass_each_other(redis: Redis) -> None:
    limits, _ = await limits_over(redis)
    tasks = TaskSet()
    for _ in range(50):
        opened = await open_request(limits, 10)
        extending = tasks.spawn(limits.leases.extend(opened.lease, 10), name="extend")
        await asyncio.sleep(0)
        assert await limits.settle(opened.settlement(1)) == 1
        await extending
    assert await held(redis) == (0, 0)


async def test_a_renewal_that_runs_after_the_settlement_leaves_a_hold_that_is_let_go(redis: Redis) -> None:
    """Its answer was lost, and nobody knew that it would still run."""
    limits, _ = await limits_over(redis)
    noted, silent = await open_request(limits, 100, noted=40), await open_request(limits, 100)
    late = script(redis, "renew")
    for opened in (noted, silent):
        assert await limits.settle(opened.settlement(60)) == 60
        shard_keys = [holds_key(0), "fb:{0}:key:" + str(KEY.key_id), "fb:{0}:wallet:" + str(WALLET.wallet_id)]
        assert await late(shard_keys, [LEASE_MS, opened.request.request_id.bytes, 100, 0, opened.checkpoint()]) == [100]
    assert await held(redis) == (200, 2)
    await end_leases(redis)
    await somebody_looks(redis)
    assert await Recovery(redis, pause_ms=LONG_MS).look() == 2
    assert await held(redis) == (0, 0)
    reasons = [UsageEntry.from_json(event[b"entry"]).end_reason for event in await events(redis)]
    # the ledger posts a request once: its first event has told the truth
    assert reasons == ["completed", "completed", "recovered"]


async def test_a_server_that_stood_still_for_longer_than_a_lease_takes_nobodys_hold(reachable_dir: Path) -> None:
    server = await EmbeddedValkey.start(reachable_dir / "valkey", "none")
    redis = redis_client.connect(server.url, PATIENT_S)
    try:
        limits, _ = await limits_over(redis)
        opened = await open_request(limits, 100, noted=7)
        recovery = Recovery(redis, pause_ms=50)
        await end_leases(redis, in_ms=100)
        await somebody_looks(redis)
        os.kill(server.pid, signal.SIGSTOP)
        stopped_ms = monotonic_ms()
        await until(lambda: monotonic_ms() > stopped_ms + 300)
        os.kill(server.pid, signal.SIGCONT)
        found = await hold_of(redis, opened.request.request_id)
        assert found is not None and found[1] < await redis_ms(redis), "it lapsed meanwhile"
        assert await recovery.look() == 0
        await renew(limits, opened)
        await somebody_looks(redis)
        assert await Recovery(redis, pause_ms=LONG_MS).look() == 0
        assert await limits.settle(opened.settlement(60)) == 60
        assert [UsageEntry.from_json(event[b"entry"]).cost_nanos for event in await events(redis)] == [60]
    finally:
        await redis.aclose()
        await server.stop()


async def test_leases_are_renewed_by_themselves(redis: Redis) -> None:
    limits, _ = await limits_over(redis)
    opened, stop, tasks = await open_request(limits, 100, noted=3), asyncio.Event(), TaskSet()
    opened.lease.is_due = True  # its answer begins
    running = tasks.spawn(limits.leases.run(stop), name="leases")

    async def is_noted() -> bool:
        found = await hold_of(redis, opened.request.request_id)
        return found is not None and found[2] == opened.checkpoint()

    await until_in_server(is_noted)
    stop.set()
    await running
