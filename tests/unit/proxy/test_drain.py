"""Stopping, step by step."""

import asyncio

from proxy.drain import Drain
from runtime.tasks import TaskSet

FOREVER_S = 60.0


async def test_with_nothing_running_it_is_over_at_once() -> None:
    drain = Drain()
    await drain.wait(FOREVER_S)
    assert drain.is_draining and drain.is_cutting


async def test_what_runs_is_waited_for_before_anything_is_cut() -> None:
    drain, tasks = Drain(), TaskSet()
    with drain:
        with drain:
            waiting = tasks.spawn(drain.wait(FOREVER_S), name="wait")
            await asyncio.sleep(0)  # it has begun to wait
        assert not drain.is_cutting
    await waiting
    assert drain.is_cutting


async def test_what_does_not_end_in_time_is_cut() -> None:
    drain = Drain()
    with drain:
        await drain.wait(0.0)
        assert drain.is_cutting
