"""The last sheet read is in force until another is read, whatever Postgres does meanwhile."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import asyncpg
import pytest

from metering.pricing import PriceSheet
from proxy import prices
from proxy.prices import PriceBook
from runtime.tasks import TaskSet
from tests.support.calls import price
from tests.support.waiting import until


class Sheets:
    """Answers each reading with what is next; the last answer is given again and again."""

    def __init__(self, *answers: PriceSheet | Exception) -> None:
        self.answers = list(answers)
        self.readings = 0

    async def read(self) -> PriceSheet:
        answer = self.answers[min(self.readings, len(self.answers) - 1)]
        self.readings += 1
        if isinstance(answer, Exception):
            raise answer
        return answer


OLD, NEW = price(request_fee_nanos=1), price(request_fee_nanos=2)


def book(*answers: PriceSheet | Exception, clock_ms: Callable[[], int] = lambda: 0) -> tuple[PriceBook, Sheets]:
    sheets = Sheets(*answers)
    return PriceBook(sheets.read, clock_ms), sheets


@asynccontextmanager
async def kept_fresh(prices_in_force: PriceBook, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[asyncio.Task[None]]:
    monkeypatch.setattr(prices, "REFRESH_S", 0.0)
    monkeypatch.setattr(prices, "REST_S", 0.0)
    tasks = TaskSet()
    yield tasks.spawn(prices_in_force.keep_fresh(), name="prices")
    await tasks.cancel()


def test_before_the_first_reading_nothing_has_a_price() -> None:
    empty, _ = book(PriceSheet([]))
    assert not empty.is_loaded
    assert (empty.in_force("tiny"), empty.models()) == (None, [])


async def test_a_sheet_that_was_read_is_in_force() -> None:
    loaded, _ = book(PriceSheet([OLD]))
    await loaded.refresh()
    assert loaded.is_loaded
    assert (loaded.in_force("tiny"), loaded.in_force("large"), loaded.models()) == (OLD, None, ["tiny"])


async def test_a_price_comes_into_force_when_its_time_has_come() -> None:
    now_ms = [999]
    later = price(effective_from_ms=1_000)
    loaded, _ = book(PriceSheet([later]), clock_ms=lambda: now_ms[0])
    await loaded.refresh()
    assert (loaded.in_force("tiny"), loaded.models()) == (None, [])
    now_ms[0] = 1_000
    assert (loaded.in_force("tiny"), loaded.models()) == (later, ["tiny"])


async def test_the_first_reading_says_what_is_wrong() -> None:
    broken, _ = book(ConnectionRefusedError())
    with pytest.raises(ConnectionRefusedError):
        await broken.refresh()
    assert not broken.is_loaded


async def test_a_changed_price_is_taken_over(monkeypatch: pytest.MonkeyPatch) -> None:
    changing, _ = book(PriceSheet([OLD]), PriceSheet([NEW]))
    await changing.refresh()
    async with kept_fresh(changing, monkeypatch):
        await until(lambda: changing.in_force("tiny") == NEW)


@pytest.mark.parametrize(
    "error",
    [
        ConnectionRefusedError(),
        TimeoutError(),
        asyncpg.InterfaceError("closed"),
        asyncpg.UndefinedColumnError(),
        ValueError("NaN is no price"),
        OverflowError("nor is infinity"),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_the_last_prices_serve_while_postgres_fails(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing column too: an upgrade that is half done may not end the task that reads prices. Nor may odd rows."""
    failing, sheets = book(PriceSheet([OLD]), error)
    await failing.refresh()
    async with kept_fresh(failing, monkeypatch) as task:
        await until(lambda: sheets.readings > 5 or task.done())
        assert failing.in_force("tiny") == OLD
        sheets.answers.append(PriceSheet([NEW]))
        await until(lambda: failing.in_force("tiny") == NEW or task.done())
        assert failing.in_force("tiny") == NEW


async def test_an_announced_change_is_read_without_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prices, "REFRESH_S", 3600.0)
    monkeypatch.setattr(prices, "REST_S", 0.0)
    changing, sheets = book(PriceSheet([OLD]), PriceSheet([NEW]))
    await changing.refresh()
    tasks = TaskSet()
    tasks.spawn(changing.keep_fresh(), name="prices")
    try:
        assert sheets.readings == 1
        changing.announce()
        await until(lambda: changing.in_force("tiny") == NEW)
        assert sheets.readings == 2
    finally:
        await tasks.cancel()


async def test_a_change_announced_while_rows_are_read_is_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prices, "REFRESH_S", 3600.0)
    monkeypatch.setattr(prices, "REST_S", 0.0)
    readings = 0

    async def read() -> PriceSheet:
        nonlocal readings
        readings += 1
        if readings == 1:
            changing.announce()  # committed after this reading's snapshot was taken
        return PriceSheet([OLD if readings == 1 else NEW])

    changing = PriceBook(read, lambda: 0)
    tasks = TaskSet()
    tasks.spawn(changing.keep_fresh(), name="prices")
    try:
        changing.announce()
        await until(lambda: changing.in_force("tiny") == NEW)
    finally:
        await tasks.cancel()
