"""The whole ledger process: it works, it stops, and it does not outlive one of its parts."""

import asyncio
from typing import Any

import pytest
from redis.asyncio import Redis

from ledger.postgres import Store
from ledger.process import run_ledger
from runtime.postgres import create_pool
from runtime.tasks import TaskSet
from tests.support.ledger import USD, everything_posted, funded_wallet, settle, settled


async def test_it_posts_every_shard_and_stops_when_told(database_url: str, redis_url: str) -> None:
    pool, redis = await create_pool(database_url), Redis.from_url(redis_url)
    store, stop, tasks = Store(pool), asyncio.Event(), TaskSet()
    wallets = [await funded_wallet(store) for _ in range(6)]
    for wallet in wallets:
        await settle(redis, settled(wallet, 5), wallet.wallet_id.int % 3)
    running = tasks.spawn(
        run_ledger(redis, store, database_url, stop, shards=3, consumer_name="one"), name="ledger"
    )  # fmt: skip
    for shard in {wallet.wallet_id.int % 3 for wallet in wallets}:
        await everything_posted(redis, shard)
    stop.set()
    await asyncio.wait_for(running, 30)
    assert len(tasks) == 0
    balances = [state.balance_nanos for state in await store.wallet_states([w.wallet_id for w in wallets])]
    assert balances == [10 * USD - 5] * 6
    await redis.aclose()
    await pool.close()


async def test_when_a_part_dies_the_process_ends_with_its_error(database_url: str, redis_url: str) -> None:
    class BrokenStore(Store):
        async def ensure_partitions(self, months_ahead: int) -> int:
            raise ZeroDivisionError("a mistake of ours")

    pool: Any = await create_pool(database_url)
    redis = Redis.from_url(redis_url)
    stop = asyncio.Event()
    with pytest.raises(ZeroDivisionError):
        await asyncio.wait_for(
            run_ledger(redis, BrokenStore(pool), database_url, stop, consumer_name="one"), 30
        )  # fmt: skip
    assert stop.is_set()
    await redis.aclose()
    await pool.close()
