import asyncio

import pytest

from runtime.backoff import Backoff, pause
from runtime.tasks import TaskSet


def test_waits_double_up_to_the_longest_and_start_again_after_a_success() -> None:
    backoff = Backoff(first_s=1, longest_s=5)
    assert [backoff.next_s() for _ in range(5)] == [1, 2, 4, 5, 5]
    backoff.reset()
    assert backoff.next_s() == 1


async def test_a_pause_ends_at_once_when_stopped() -> None:
    stop = asyncio.Event()
    stop.set()
    assert await pause(stop, 3600)


async def test_a_pause_ends_by_itself() -> None:
    assert not await pause(asyncio.Event(), 0.001)


async def test_who_is_cancelled_in_the_moment_in_which_it_is_stopped_is_cancelled() -> None:
    stop, tasks = asyncio.Event(), TaskSet()
    pausing = tasks.spawn(pause(stop, 3600), name="test")
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    stop.set()
    pausing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await pausing
