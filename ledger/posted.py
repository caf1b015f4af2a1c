"""Waits until every request that had begun by a moment is in Postgres: ended, settled, posted."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from redis.asyncio import Redis

from ledger import redis_schema as schema
from runtime.clock import monotonic_ms
from runtime.ids import time_of_ms

POLL_S = 0.1
_ID_BYTES = 16


@dataclass(frozen=True, slots=True)
class Unposted:
    """What is missing: requests that still run, and usage events that no ledger process has posted."""

    running: int = 0
    events: int = 0

    @property
    def is_nothing(self) -> bool:
        return self == Unposted()


OnWait = Callable[[Unposted], None]


def _unwatched(_: Unposted) -> None:
    """Nobody wants to know."""


async def wait_posted(
    redis: Redis, until_ms: int, timeout_s: float, *, shards: int = 1, on_wait: OnWait = _unwatched
) -> Unposted:
    """Waits for requests that began at `until_ms` (Unix time) or before. What is missing after `timeout_s`.

    Raises redis.RedisError.
    """
    deadline_ms = monotonic_ms() + int(timeout_s * 1000)
    marks: dict[int, tuple[int, int]] = {}
    while True:
        missing = await _missing(redis, until_ms, shards, marks)
        if missing.is_nothing or monotonic_ms() >= deadline_ms:
            return missing
        on_wait(missing)
        await asyncio.sleep(POLL_S)


async def _missing(redis: Redis, until_ms: int, shards: int, marks: dict[int, tuple[int, int]]) -> Unposted:
    """The holds first: a request leaves them when its event is added.

    `marks`: the last event of each shard, looked up once nothing runs any more: what is added after it is of others.
    """
    running = sum([await _running(redis, shard, until_ms) for shard in range(shards)])
    if running:
        marks.clear()
    events = 0
    for shard in range(shards):
        mark = marks.get(shard) or await _latest(redis, shard)
        events += await _up_to(redis, shard, mark)
        if not running:
            marks[shard] = mark
    return Unposted(running, events)


async def _running(redis: Redis, shard: int, until_ms: int) -> int:
    fields: Any = await redis.hkeys(schema.holds_key(shard))
    return sum(len(raw) == _ID_BYTES and time_of_ms(UUID(bytes=raw)) <= until_ms for raw in fields)


async def _latest(redis: Redis, shard: int) -> tuple[int, int]:
    found: Any = await redis.xrevrange(schema.usage_stream(shard), count=1)
    return _numbers(found[0][0]) if found else (0, 0)


async def _up_to(redis: Redis, shard: int, mark: tuple[int, int]) -> int:
    """Events leave the Stream when they are posted. How many of those up to the mark are there: 1 stands for any."""
    found: Any = await redis.xrange(schema.usage_stream(shard), count=1)
    return int(bool(found) and _numbers(found[0][0]) <= mark)


def _numbers(event_id: bytes) -> tuple[int, int]:
    ms, _, number = event_id.decode().partition("-")
    return int(ms), int(number)
