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


async def test_what_began_under_an_older_configuration_is_told_apart_and_waited_for_alike() -> None:
    drain, tasks = Drain(), TaskSet()
    first, second = drain.generation(), drain.generation()
    with drain, second:
        with first:
            over = tasks.spawn(drain.idle_before(second), name="idle")
            waiting = tasks.spawn(drain.wait(FOREVER_S), name="wait")
            await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert not over.done()
    await asyncio.gather(over, waiting)
    assert second.is_cutting


async def test_older_requests_are_not_held_up_by_younger_ones() -> None:
    drain = Drain()
    generation = drain.generation()
    with generation:
        async with asyncio.timeout(FOREVER_S):
            await drain.idle_before(generation)


async def test_several_changes_may_be_waiting() -> None:
    drain, tasks = Drain(), TaskSet()
    generations = [drain.generation() for _ in range(3)]
    with drain:
        waiting = [tasks.spawn(drain.idle_before(each), name="idle") for each in generations]
        await asyncio.sleep(0)
    async with asyncio.timeout(FOREVER_S):
        await asyncio.gather(*waiting)
