"""When a backlog is worth a line in the log."""

from typing import Any, cast

import pytest
from redis.asyncio import Redis
from structlog.testing import capture_logs

from ledger.backlog import WORTH_SAYING, BacklogWatch
from ledger.redis_schema import usage_stream


class Streams:
    def __init__(self) -> None:
        self.lengths: dict[str, int] = {}

    async def xlen(self, name: str) -> int:
        return self.lengths.get(name, 0)


@pytest.mark.parametrize(
    ("lengths", "told"),
    [
        ([0, 10, WORTH_SAYING - 1], []),
        ([WORTH_SAYING, WORTH_SAYING + 5, 2 * WORTH_SAYING], [WORTH_SAYING, 2 * WORTH_SAYING]),
        ([WORTH_SAYING, 0, 0, WORTH_SAYING], [WORTH_SAYING, "gone", WORTH_SAYING]),
        ([WORTH_SAYING, WORTH_SAYING // 2, WORTH_SAYING], [WORTH_SAYING]),
    ],
)
async def test_it_is_told_when_it_begins_doubles_and_ends(lengths: list[int], told: list[Any]) -> None:
    streams = Streams()
    watch = BacklogWatch(cast(Redis, streams), most=1_000_000, shards=2)
    with capture_logs() as lines:
        for length in lengths:
            streams.lengths[usage_stream(1)] = length
            assert await watch.look() == {0: 0, 1: length}
    said = ["gone" if line["event"] == "ledger_backlog_gone" else line["count"] for line in lines]
    assert said == told
    assert {line["shard"] for line in lines} <= {1}


async def test_where_little_may_wait_half_of_it_is_told() -> None:
    streams = Streams()
    streams.lengths[usage_stream(0)] = 500
    with capture_logs() as lines:
        await BacklogWatch(cast(Redis, streams), most=1_000).look()
    assert [(line["event"], line["left"]) for line in lines] == [("ledger_backlog", 500)]
