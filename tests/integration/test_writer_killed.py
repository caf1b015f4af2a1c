"""The writer's process is killed between any two steps; another finishes: nothing lost, nothing twice."""

import asyncio
import signal
import sys

import pytest
from redis.asyncio import Redis

from ledger.audit import audit
from ledger.money import from_decimal
from ledger.postgres import Store
from ledger.writer import LedgerWriter
from runtime.postgres import create_pool
from runtime.tasks import TaskSet
from tests.support.killed_writer import CONSUMER
from tests.support.ledger import USD, cache_wallet, cached_wallet, everything_posted, funded_wallet, settle, settled

COST = 1_000_001


async def run_until_killed(database_url: str, redis_url: str, step: str) -> int:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.support.killed_writer", database_url, redis_url, step
    )
    try:
        return await asyncio.wait_for(process.wait(), 60)
    finally:
        if process.returncode is None:
            process.kill()


async def finish(redis: Redis, store: Store, consumer: str) -> None:
    """Runs another writer until nothing is left."""
    stop = asyncio.Event()
    writer = LedgerWriter(redis, store, 0, consumer, claim_idle_ms=0, claim_interval_ms=0)
    tasks = TaskSet()
    running = tasks.spawn(writer.run(stop), name="successor")
    await everything_posted(redis)
    stop.set()
    await running


@pytest.mark.parametrize("step", ["read", "begun", "posted", "committed", "acknowledged"])
@pytest.mark.parametrize("successor", ["another", CONSUMER])
async def test_whatever_step_it_dies_at_the_sums_are_right(
    database_url: str, redis_url: str, step: str, successor: str
) -> None:
    pool = await create_pool(database_url)
    redis, store = Redis.from_url(redis_url), Store(pool)
    wallets = [await funded_wallet(store) for _ in range(3)]
    for wallet in wallets:
        await cache_wallet(redis, wallet)
    entries = [settled(wallet, COST) for wallet in wallets for _ in range(20)]
    for entry in entries:
        await settle(redis, entry)

    assert await run_until_killed(database_url, redis_url, step) == -signal.SIGKILL
    await finish(redis, store, successor)

    assert await pool.fetchval("SELECT count(*) FROM ai_usage_logs") == len(entries)
    assert from_decimal(await pool.fetchval("SELECT sum(cost) FROM ai_usage_logs")) == COST * len(entries)
    for state in await store.wallet_states([wallet.wallet_id for wallet in wallets]):
        assert state.balance_nanos == 10 * USD - 20 * COST
        cached = await cached_wallet(redis, state)
        assert (cached["unposted"], cached["balance"]) == (0, state.balance_nanos)
        assert cached["version"] == state.version
    report = await audit(pool)
    assert report.holds, report.violations
    await redis.aclose()
    await pool.close()
