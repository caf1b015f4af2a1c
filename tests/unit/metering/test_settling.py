"""Settlements end in Redis or in the spool, whatever fails; the server is played. On a real one: tests/integration."""

import asyncio
import errno
import os
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import cast

import pytest
import structlog.testing
from redis.asyncio import Redis

from metering.settlements import Settlement
from metering.settling import Settler
from runtime.breaker import Breaker
from runtime.coalesce import Overloaded
from runtime.spool import Spool
from tests.support.played_redis import PlayedRedis, entries, numbered
from tests.support.spools import Disk, crash, set_aside
from tests.support.waiting import until

BOUND_S = 30.0
FAILURES_TO_OPEN = 5


class Rig:
    """One process after the other on the same folder."""

    def __init__(self, folder: Path, stack: AsyncExitStack, shards: int = 1) -> None:
        self.redis = PlayedRedis(shards)
        self.breaker = Breaker(FAILURES_TO_OPEN, 1_000)
        self._folder, self._stack, self._shards = folder, stack, shards
        self._dead: set[Settler] = set()

    async def process(self, *, max_bytes: int = 1 << 20) -> tuple[Settler, Spool]:
        spool = await Spool.open(self._folder, max_bytes=max_bytes)
        settler = self.without_spool(spool)
        self._stack.push_async_callback(self._end, settler, spool)
        return settler, spool

    async def kill(self, settler: Settler, spool: Spool) -> None:
        """Nothing is drained."""
        self._dead.add(settler)
        await settler._tasks.cancel()
        crash(spool)

    async def _end(self, settler: Settler, spool: Spool) -> None:
        if settler not in self._dead:
            await settler.drain(0)
            await spool.close()

    def without_spool(self, spool: Spool | None = None) -> Settler:
        redis, breakers = cast(Redis, self.redis), [self.breaker] * self._shards
        return Settler(redis, breakers=breakers, shards=self._shards, spool=spool, clock_ms=lambda: 0)


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as stack:
        yield stack


@pytest.fixture
def rig(tmp_path: Path, stack: AsyncExitStack) -> Rig:
    return Rig(tmp_path, stack)


async def settled(settler: Settler, *numbers: int) -> list[int | None]:
    async with asyncio.timeout(BOUND_S):
        return await asyncio.gather(*(settler.settle(numbered(n)) for n in numbers))


async def test_redis_says_what_was_charged(rig: Rig) -> None:
    settler, spool = await rig.process()
    assert await settled(settler, 1, 2, 3) == [1, 2, 3]
    assert rig.redis.settled == entries(1, 2, 3) and spool.is_empty


async def test_what_redis_does_not_take_is_safe_in_the_spool_and_is_replayed_in_order(rig: Rig) -> None:
    settler, spool = await rig.process()
    rig.redis.go_away()
    assert await settled(settler, *range(300)) == [None] * 300
    assert len(spool) == 300 and rig.redis.calls <= 2, "what waited behind the failure was not tried"
    settler.start()
    rig.redis.come_back()
    await until(lambda: len(spool) == 0)
    # what failed together was written by two callers
    assert sorted(rig.redis.settled[:256], key=int) + rig.redis.settled[256:] == entries(*range(300))
    assert await settled(settler, 300) == [300]


async def test_while_the_breaker_is_open_redis_is_left_alone(rig: Rig) -> None:
    settler, spool = await rig.process()
    for _ in range(FAILURES_TO_OPEN):
        rig.breaker.failed(0)
    assert await settled(settler, 1) == [None]
    assert (rig.redis.calls, len(spool)) == (0, 1)
    settler.start()
    await until(lambda: spool.is_empty)
    assert not rig.breaker.is_open, "the replay found it well"
    assert await settled(settler, 2) == [2]


async def test_what_an_earlier_run_left_is_replayed_at_the_start(rig: Rig) -> None:
    first, spool = await rig.process()
    rig.redis.go_away()
    await settled(first, 1, 2)
    await rig.kill(first, spool)
    rig.redis.come_back()
    second, _ = await rig.process()
    second.start()
    await until(lambda: rig.redis.settled == entries(1, 2))


async def test_what_another_process_left_when_it_died_is_replayed(rig: Rig) -> None:
    survivor, spool = await rig.process()
    survivor.start()
    other, others = await rig.process()
    rig.redis.go_away()
    await settled(other, 1)
    await rig.kill(other, others)
    await settled(survivor, 2)
    rig.redis.come_back()
    await until(lambda: sorted(rig.redis.settled) == entries(1, 2))
    await until(lambda: spool.is_empty)


@pytest.mark.parametrize("failure", ["full", "broken"])
async def test_a_spool_that_takes_nothing_is_told_once_and_settlements_wait_in_memory(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, failure: str
) -> None:
    settler, spool = await rig.process(max_bytes=10 if failure == "full" else 1 << 20)
    disk = Disk()
    monkeypatch.setattr(os, "fsync", disk.fsync)
    disk.error = OSError(errno.ENOSPC, "full") if failure == "broken" else None
    settler.start()
    rig.redis.go_away()
    with structlog.testing.capture_logs() as logs:
        waiting = [settler.settle(numbered(n)) for n in range(300)]
        await until(lambda: rig.redis.calls > 5)
    assert not any(future.done() for future in waiting) and len(spool) == 0
    told = [(line["event"], line["log_level"]) for line in logs]
    assert told.count(("spool_full", "error")) == told.count(("settlements_delayed", "warning")) == 1
    rig.redis.come_back()
    async with asyncio.timeout(BOUND_S):
        assert await asyncio.gather(*waiting) == list(range(300))


async def test_a_spool_that_takes_again_says_so(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    settler, _ = await rig.process()
    disk = Disk()
    monkeypatch.setattr(os, "fsync", disk.fsync)
    disk.error = OSError(errno.ENOSPC, "full")
    rig.redis.go_away()
    with structlog.testing.capture_logs() as logs:
        waiting = settler.settle(numbered(1))
        await until(lambda: rig.redis.calls > 2)
        disk.error = None
        assert await waiting is None
    assert [line["event"] for line in logs] == ["settlements_delayed", "spool_full", "spool_takes_again"]


async def test_without_a_spool_they_wait_in_memory_and_are_lost_with_it(rig: Rig) -> None:
    settler = rig.without_spool()
    rig.redis.go_away()
    waiting = [settler.settle(numbered(n)) for n in range(3)]
    await until(lambda: rig.redis.calls > 2)
    assert await settler.drain(0) == 3
    assert all(future.cancelled() for future in waiting)


async def test_at_the_end_what_waits_for_redis_goes_to_the_spool(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("metering.settling._SEND_TIMEOUT_S", 0.01)
    settler, spool = await rig.process()
    rig.redis.answers.clear()
    waiting = [settler.settle(numbered(n)) for n in range(300)]
    assert await settler.drain(BOUND_S) == 0
    assert [await future for future in waiting] == [None] * 300 and len(spool) == 300
    with pytest.raises(Overloaded):
        settler.settle(numbered(1))


async def test_at_the_end_it_looks_once_more_for_what_a_server_may_have_lost(rig: Rig) -> None:
    settler, _ = await rig.process()
    settler.start()
    await until(lambda: rig.redis.looks == 1)
    await settled(settler, 1)
    rig.redis.come_back(as_another=True)
    await settler.drain(BOUND_S)
    assert rig.redis.settled == entries(1, 1)


async def test_what_another_run_may_have_lost_and_does_not_take_goes_to_the_spool(rig: Rig) -> None:
    settler, spool = await rig.process()
    settler.start()
    await until(lambda: rig.redis.looks == 1)
    await settled(settler, 1)
    rig.redis.come_back(as_another=True)
    rig.redis.takes = False
    await settler.drain(BOUND_S)
    assert rig.redis.settled == entries(1) and len(spool) == 1


async def test_shards_that_answer_do_not_wait_for_those_that_do_not(tmp_path: Path, stack: AsyncExitStack) -> None:
    rig = Rig(tmp_path, stack, shards=2)
    settler, spool = await rig.process()

    async def settle(*wallets: int) -> list[int | None]:
        return await asyncio.gather(*(settler.settle(numbered(10 + wallet, wallet)) for wallet in wallets))

    rig.redis.go_away()
    assert await settle(0, 1) == [None, None]
    rig.redis.away = {1}
    settler.start()
    await until(lambda: rig.redis.settled == entries(10))
    assert await settle(2, 3) == [12, None]
    calls = rig.redis.calls
    await until(lambda: rig.redis.calls > calls + 1)
    assert rig.redis.settled == entries(10, 12), "what was taken is not sent again and again"
    rig.redis.come_back()
    await until(lambda: spool.is_empty)
    assert rig.redis.settled == entries(10, 12, 11, 13)


async def test_a_record_that_is_not_known_does_not_hold_up_the_others(rig: Rig, tmp_path: Path) -> None:
    settler, spool = await rig.process()
    newer = b"\xff" + numbered(7).to_record()[1:]
    await spool.append([numbered(1).to_record(), newer, numbered(2).to_record()])
    with structlog.testing.capture_logs() as logs:
        settler.start()
        await until(lambda: spool.is_empty)
    assert rig.redis.settled == entries(1, 2)
    assert [line["count"] for line in logs if line["event"] == "spool_record_unknown"] == [1]
    (kept,) = set_aside(tmp_path)
    assert newer in kept.read_bytes()


async def test_too_many_that_wait_are_refused(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("metering.settling._MAX_WAITING", 3)
    settler = rig.without_spool()
    rig.redis.go_away()
    for number in range(3):
        settler.settle(numbered(number))
    with pytest.raises(Overloaded):
        settler.settle(numbered(3))
    await settler.drain(0)


@pytest.mark.parametrize("change", [lambda redis: redis.go_away(), lambda redis: redis.come_back()])
async def test_a_release_is_a_settlement_without_an_entry(rig: Rig, change: Callable[[PlayedRedis], None]) -> None:
    settler, _ = await rig.process()
    change(rig.redis)
    released = Settlement(numbered(1).request_id, numbered(1).key_id, numbered(1).wallet_id, 0, b"")
    assert await settler.settle(released) == (None if rig.redis.away else 0)
    rig.redis.come_back()
    settler.start()
    await until(lambda: rig.redis.settled == [b""])
