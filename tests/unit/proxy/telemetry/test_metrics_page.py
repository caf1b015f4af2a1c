"""`/metrics`: who may ask, what is told of the others on the port and of Redis."""

import asyncio
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisGone

from proxy.telemetry.metrics_page import MetricsPage
from runtime.clock import wall_ms
from runtime.exposition import parse
from runtime.metrics.book import Book
from runtime.metrics.series import Counter, Gauge
from runtime.metrics.slots import Slot
from tests.support.asking import begin
from tests.support.memory_http import Answer, connected, get
from tests.support.waiting import until

TOKEN = "a-token-of-some-length"


class Streams:
    """`ages_ms` of the oldest event of each shard, None where there is none; shards in `away` do not answer."""

    def __init__(self, *ages_ms: int | None, away: tuple[int, ...] = ()) -> None:
        self._ages_ms, self._away = ages_ms, away

    async def xrange(self, name: str, count: int) -> list[Any]:
        shard = int(name.partition("{")[2].partition("}")[0])
        if shard in self._away:
            raise RedisGone
        age_ms = self._ages_ms[shard]
        return [] if age_ms is None else [(b"%d-0" % (wall_ms() - age_ms), {})]

    async def xlen(self, name: str) -> int:
        return 7


def page_of(streams: Streams | None = None, slot: Slot | None = None, **settings: Any) -> MetricsPage:
    asked, active = Counter("asked_total", "Asked."), Gauge("active", "Active.")
    book = Book([asked, active])
    book.looks.append(lambda: active.put(1))
    asked.add((), 3)
    shards = settings.pop("shards", 1)
    return MetricsPage(book, cast(Redis, streams or Streams(None)), shards, 1000, slot=slot, **settings)


async def ask(page: MetricsPage, *headers: str) -> Answer:
    async with connected({("GET", "/metrics"): page.show}) as client:
        return await client.ask(get("/metrics", *headers))


async def samples(page: MetricsPage) -> dict[Any, float]:
    answer = await ask(page)
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    return {(each.name, *(value for _, value in each.labels)): each.value for each in parse(answer.body.decode())}


async def test_what_was_counted_and_what_waits() -> None:
    found = await samples(page_of(Streams(60_000, None), shards=2))
    assert (found["asked_total",], found["active",]) == (3, 1)
    assert found["farebox_stream_events", "0"] == 7
    assert 60 <= found["farebox_stream_oldest_seconds", "0"] < 120
    assert found["farebox_stream_oldest_seconds", "1"] == 0
    assert (found["farebox_stream_max_events",], found["farebox_redis_up",]) == (1000, 1)


async def test_a_redis_that_is_away_takes_nothing_else_away() -> None:
    found = await samples(page_of(Streams(5, 5, away=(1,)), shards=2))
    assert (found["asked_total",], found["farebox_redis_up",]) == (3, 0)
    assert [name for name in found if name[0] == "farebox_stream_events"] == [("farebox_stream_events", "0")]


async def test_the_others_on_the_port_are_told_of_too(tmp_path: Path) -> None:
    slots = [Slot(tmp_path / f"worker-{index}") for index in range(3)]
    for slot in slots[1:]:
        slot.write(page_of().book.snapshot(wall_ms()))
    found = await samples(page_of(slot=slots[0]))
    assert (found["asked_total",], found["active",]) == (9, 3)


async def test_what_was_told_is_written_down_first(tmp_path: Path) -> None:
    """Else a sum that was told would fall when this process dies: it would look like a restart of all of them."""
    await samples(page_of(slot=Slot(tmp_path / "worker-0")))
    left = Slot(tmp_path / "worker-0").before()
    assert left is not None
    assert left.values["asked_total"] == {(): 3}


async def test_the_slot_is_kept_also_when_nobody_asks(tmp_path: Path) -> None:
    slot = Slot(tmp_path / "worker-0")
    keeping = begin(page_of().keep_slot(slot))
    await until(lambda: slot.before() is not None)
    keeping.cancel()
    with suppress(asyncio.CancelledError):
        await keeping


async def test_a_folder_that_is_gone_takes_no_metrics_away(tmp_path: Path) -> None:
    (tmp_path / "slots").mkdir()
    slot = Slot(tmp_path / "slots" / "worker-0")
    slot.write = _failing  # type: ignore[method-assign, assignment]  # a full disk
    assert (await samples(page_of(slot=slot)))["asked_total",] == 3


def _failing(_: object) -> None:
    raise OSError("no space left")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ([f"Authorization: Bearer {TOKEN}"], 200),
        ([], 401),
        ([f"Authorization: Bearer {TOKEN}x"], 401),
        ([f"Authorization: {TOKEN}"], 401),
        (["Authorization: Bearer \xff\xfe"], 401),
    ],
)
async def test_who_may_ask_where_there_is_a_token(headers: list[str], status: int) -> None:
    answer = await ask(page_of(token=TOKEN), *headers)
    assert answer.status == status
    assert (b"asked_total" in answer.body) is (status == 200)
