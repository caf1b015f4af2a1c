"""Waiting for what comes in time, for what does not, and for what nobody waits for any more."""

import asyncio

import pytest

from runtime.tasks import TaskSet
from runtime.waits import Waits

LONG_S = 30.0
SHORT_S = 0.01


def made() -> "asyncio.Future[int]":
    return asyncio.get_running_loop().create_future()


async def test_what_comes_in_time() -> None:
    waits, tasks, future = Waits(LONG_S), TaskSet(), made()
    waiting = tasks.spawn(waits.wait(future), name="waiting")
    await asyncio.sleep(0)
    future.set_result(1)
    assert await waiting
    assert await waits.wait(future)


async def test_what_failed_is_done_too() -> None:
    waits, tasks, future = Waits(LONG_S), TaskSet(), made()
    waiting = tasks.spawn(waits.wait(future), name="waiting")
    await asyncio.sleep(0)
    future.set_exception(ValueError())
    assert await waiting


async def test_what_does_not_come_is_cancelled_one_after_the_other() -> None:
    waits, tasks = Waits(SHORT_S), TaskSet()
    futures = [made() for _ in range(3)]
    waiting = [tasks.spawn(waits.wait(future), name="waiting") for future in futures]
    assert await asyncio.gather(*waiting) == [False] * 3
    assert all(future.cancelled() for future in futures)
    later = made()
    assert not await waits.wait(later)


async def test_who_is_cancelled_hears_of_it_also_when_the_time_is_over_at_once() -> None:
    waits, tasks = Waits(LONG_S), TaskSet()
    future = made()
    waiting = tasks.spawn(waits.wait(future), name="waiting")
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert future.cancelled()


async def test_what_is_shielded_goes_on() -> None:
    waits, tasks, future = Waits(SHORT_S), TaskSet(), made()

    async def work() -> int:
        return await future

    task = tasks.spawn(work(), name="work")
    assert not await waits.wait(asyncio.shield(task))
    future.set_result(5)
    assert await task == 5


async def test_what_is_done_is_not_kept() -> None:
    waits, tasks = Waits(LONG_S), TaskSet()
    for _ in range(10):
        future = made()
        waiting = tasks.spawn(waits.wait(future), name="waiting")
        await asyncio.sleep(0)
        future.set_result(1)
        await waiting
    assert len(waits) == 1
