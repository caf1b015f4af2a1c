"""Settlements outlive the death of Valkey and of the proxy's process: each is posted, once."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from redis.asyncio import Redis

from ledger.audit import audit
from ledger.entries import WalletState
from ledger.postgres import Store
from ledger.redis_schema import usage_stream
from ledger.writer import LedgerWriter
from metering.settlements import Settlement
from metering.settling import Settler
from runtime.breaker import Breaker
from runtime.postgres import Pool, create_pool
from runtime.spool import Spool
from runtime.tasks import TaskSet
from tests.support.ledger import USD, cache_wallet, funded_wallet, until, usage_entry
from tests.support.limits import BOUND_S
from tests.support.mortal_valkey import MortalValkey
from tests.support.spools import segment_files
from tests.support.waiting import names_in

COST = 1_000_001
COUNT = 300


@dataclass
class Books:
    """A wallet, what is settled from it, and what Postgres says of that in the end."""

    pool: Pool
    store: Store
    wallet: WalletState

    def settlements(self, count: int = COUNT) -> list[Settlement]:
        entries = [usage_entry(self.wallet, COST) for _ in range(count)]
        return [Settlement(e.request_id, e.api_key_id, e.wallet_id, COST, e.to_json()) for e in entries]

    async def hold(self, redis: Redis, expected: int) -> None:
        """Posts until each of so many is posted, and what came twice is gone too; then looks at the sums."""

        async def all_posted() -> bool:
            posted = await self.pool.fetchval("SELECT count(*) FROM ai_usage_logs")
            return bool(posted == expected and not await redis.xlen(usage_stream(0)))

        stop, tasks = asyncio.Event(), TaskSet()
        running = tasks.spawn(LedgerWriter(redis, self.store, 0, "writer").run(stop), name="writer")
        await until(all_posted)
        stop.set()
        await running
        (state,) = await self.store.wallet_states([self.wallet.wallet_id])
        assert state.balance_nanos == 10 * USD - expected * COST
        report = await audit(self.pool)
        assert report.holds, report.violations


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as stack:
        yield stack


@pytest.fixture
async def valkey(reachable_dir: Path, stack: AsyncExitStack) -> AsyncIterator[MortalValkey]:
    valkey = MortalValkey(reachable_dir, stack)
    await valkey.start()
    yield valkey
    await valkey.stop()


@pytest.fixture
async def books(database_url: str, valkey: MortalValkey) -> AsyncIterator[Books]:
    pool = await create_pool(database_url)
    store = Store(pool)
    books = Books(pool, store, await funded_wallet(store))
    redis = Redis.from_url(valkey.url)
    await cache_wallet(redis, books.wallet)
    await redis.aclose()
    yield books
    await pool.close()


@asynccontextmanager
async def proxy(valkey: MortalValkey, folder: Path) -> AsyncIterator[tuple[Settler, Spool]]:
    """What a proxy process has of this, started and drained."""
    spool = await Spool.open(folder, max_bytes=1 << 24)
    settler = Settler(valkey.connect(), breakers=[Breaker(5, 1_000)], spool=spool)
    settler.start()
    yield settler, spool
    assert await settler.drain(BOUND_S) == 0
    await spool.close()


def reader(valkey: MortalValkey, stack: AsyncExitStack) -> Redis:
    """With the patience that a ledger writer needs."""
    client = Redis.from_url(valkey.url)
    stack.push_async_callback(client.aclose)
    return client


@pytest.mark.parametrize("lose", [MortalValkey.lose_everything, MortalValkey.lose_the_end])
async def test_what_a_killed_server_had_acknowledged_and_lost_is_sent_again(
    valkey: MortalValkey, books: Books, tmp_path: Path, stack: AsyncExitStack, lose: Callable[[MortalValkey], None]
) -> None:
    async with proxy(valkey, tmp_path) as (settler, spool):
        await settler._resender.look()  # whose run it is has to be known before its death
        assert await asyncio.gather(*map(settler.settle, books.settlements())) == [COST] * COUNT
        await valkey.kill()
        lose(valkey)
        async with settler._resender._looking:  # not yet
            await valkey.come_back()
            redis = reader(valkey, stack)
            assert await redis.xlen(usage_stream(0)) < COUNT, "nothing was lost: this tests nothing"
        await books.hold(redis, COUNT)
        assert len(spool) == 0


async def test_killed_in_the_middle_of_settlements_and_back_each_is_posted_once(
    valkey: MortalValkey, books: Books, tmp_path: Path, stack: AsyncExitStack
) -> None:
    settlements = books.settlements(3 * COUNT)
    async with proxy(valkey, tmp_path) as (settler, spool):
        before = [settler.settle(each) for each in settlements[:COUNT]]
        await before[0]
        killing = asyncio.get_running_loop().create_task(valkey.kill())
        during = [settler.settle(each) for each in settlements[COUNT : 2 * COUNT]]
        await asyncio.gather(*before, *during)
        await killing
        after = await asyncio.gather(*map(settler.settle, settlements[2 * COUNT :]))
        assert after == [None] * COUNT and len(spool) >= COUNT
        await valkey.come_back()
        await books.hold(reader(valkey, stack), 3 * COUNT)
    assert names_in(tmp_path) == []


async def test_stopped_when_the_proxy_stops_too_the_next_one_settles(
    valkey: MortalValkey, books: Books, tmp_path: Path, stack: AsyncExitStack
) -> None:
    await valkey.stop()
    async with proxy(valkey, tmp_path) as (settler, _):
        for each in books.settlements():
            settler.settle(each)
    await valkey.come_back()
    async with proxy(valkey, tmp_path):
        await books.hold(reader(valkey, stack), COUNT)
    assert names_in(tmp_path) == []


async def test_a_proxy_that_is_killed_leaves_its_spool_to_one_that_runs(
    valkey: MortalValkey, books: Books, tmp_path: Path, stack: AsyncExitStack
) -> None:
    records, folder = tmp_path / "records", tmp_path / "spool"
    records.write_text("\n".join(each.to_record().hex() for each in books.settlements()))
    dying = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.support.killed_settler", str(folder), str(records)
    )
    async with asyncio.timeout(BOUND_S):
        assert await dying.wait() == -signal.SIGKILL
    assert segment_files(folder), "it had said that they are safe"
    async with proxy(valkey, folder):
        await books.hold(reader(valkey, stack), COUNT)
    assert names_in(folder) == []
