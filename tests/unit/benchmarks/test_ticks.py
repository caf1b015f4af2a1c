"""Ticks come at their times, and one that nobody waited for is there for who comes late."""

import asyncio
from time import perf_counter

import psutil
import pytest

from benchmarks.ticks import at_rate


async def test_no_tick_is_early_and_each_pause_is_as_long_as_it_was_asked_for() -> None:
    begin, rate = perf_counter() + 0.01, 500
    async with at_rate(begin, rate) as beat:
        for turn in range(10):
            await beat.next_one()
            assert perf_counter() >= begin + turn / rate


async def test_those_that_nobody_waited_for_are_one() -> None:
    begin = perf_counter()
    async with at_rate(begin, 100) as beat:
        await asyncio.sleep(0.025)  # three of them
        await beat.next_one()
        await beat.next_one()
        assert perf_counter() >= begin + 0.03


async def test_the_timer_is_closed_at_the_end() -> None:
    process = psutil.Process()
    before = process.num_fds()
    async with at_rate(perf_counter(), 1000) as beat:
        await beat.next_one()
        assert process.num_fds() == before + 1
    assert process.num_fds() == before


async def test_what_the_system_refuses_is_an_error() -> None:
    with pytest.raises(OSError, match="Invalid argument"):
        async with at_rate(-1, 1000):
            pass
