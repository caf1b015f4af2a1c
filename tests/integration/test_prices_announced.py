"""What an operator changes in Postgres is in force in a proxy: at once where it is announced, soon where it is not."""

import asyncio
from collections.abc import AsyncIterator
from decimal import Decimal

import pytest

from accounts.prices import offer, read_sheet
from proxy import prices
from proxy.prices import PriceBook, price_listener
from runtime.postgres import Pool, create_pool
from runtime.tasks import TaskSet
from tests.support.waiting import until

NEVER_S = 3600.0
NOWHERE = "postgresql://nobody@127.0.0.1:1/nothing"
SET = "UPDATE ai_pricing SET input_price_per_1k_tokens = $1"


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[Pool]:
    made = await create_pool(database_url)
    await offer(made, {"tiny": Decimal(1)})
    await made.execute("UPDATE ai_pricing SET effective_from = '2020-01-01'")
    yield made
    await made.close()


@pytest.fixture
async def tasks() -> AsyncIterator[TaskSet]:
    started = TaskSet()
    yield started
    await started.cancel()


async def started(tasks: TaskSet, pool: Pool, listen_url: str) -> PriceBook:
    """A book that is kept fresh as in a proxy."""
    book = PriceBook(lambda: read_sheet(pool))
    await book.refresh()
    tasks.spawn(book.keep_fresh(), name="prices")
    tasks.spawn(price_listener(listen_url, book).run(asyncio.Event()), name="price-listener")
    return book


def costs(book: PriceBook, dollars: int) -> bool:
    price = book.in_force("tiny")
    return price is not None and price.input_nanos_per_1k == dollars * 10**9


async def listens(pool: Pool) -> None:
    """Until the proxy's own connection has listened, and what it may have missed before was read."""

    async def does() -> bool:
        found: int = await pool.fetchval(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE datname = current_database() AND application_name = 'farebox-prices' AND query = 'SELECT 1'"
        )
        return found == 1

    async with asyncio.timeout(30):
        while not await does():  # noqa: ASYNC110 -- another process is asked
            await asyncio.sleep(0.01)


async def test_an_announced_change_needs_no_polling(
    database_url: str, pool: Pool, tasks: TaskSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prices, "REFRESH_S", NEVER_S)
    book = await started(tasks, pool, database_url)
    await listens(pool)
    for dollars in (2, 3, 4):
        await pool.execute(SET, Decimal(dollars))
        await until(lambda: costs(book, dollars))  # noqa: B023 -- awaited within the round
    await pool.execute("UPDATE ai_pricing SET is_active = false")
    await until(lambda: book.in_force("tiny") is None)
    await pool.execute("UPDATE ai_pricing SET is_active = true")
    await until(lambda: costs(book, 4))
    await pool.execute("DELETE FROM ai_pricing")
    await until(lambda: book.models() == [])


async def test_what_was_missed_while_the_connection_was_lost_is_read(
    database_url: str, pool: Pool, tasks: TaskSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prices, "REFRESH_S", NEVER_S)
    book = await started(tasks, pool, database_url)
    await listens(pool)
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute(SET, Decimal(5))
        await connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND application_name = 'farebox-prices'"
        )
    await until(lambda: costs(book, 5))
    await pool.execute(SET, Decimal(6))
    await until(lambda: costs(book, 6))


async def test_where_nothing_is_heard_the_rows_are_looked_at_all_the_same(
    pool: Pool, tasks: TaskSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prices, "REFRESH_S", 0.01)
    book = await started(tasks, pool, NOWHERE)
    await pool.execute(SET, Decimal(7))
    await until(lambda: costs(book, 7))


async def test_a_row_that_is_no_price_leaves_the_old_ones_in_force(
    database_url: str, pool: Pool, tasks: TaskSet
) -> None:
    """Somebody has dropped the checks."""
    book = await started(tasks, pool, database_url)
    await listens(pool)
    await pool.execute("ALTER TABLE ai_pricing DROP CONSTRAINT input_price_in_range")
    await pool.execute(SET, Decimal("NaN"))
    with pytest.raises(ValueError, match="NaN"):
        await read_sheet(pool)
    assert costs(book, 1)
    await pool.execute(SET, Decimal(8))
    await until(lambda: costs(book, 8))
