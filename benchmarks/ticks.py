"""Fixed times to the tens of microseconds, waited for asleep.

Event loops count milliseconds, and a loop that spins until it is time keeps from its core whoever shares it: with
Valkey there, an answer took 2.8 ms instead of what measurements say. Python has the system's timers from 3.13 on.
"""

import asyncio
import ctypes
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from math import modf
from time import CLOCK_MONOTONIC

_LIBC = ctypes.CDLL(None, use_errno=True)
_TFD_TIMER_ABSTIME = 1
_NANOS = 1_000_000_000
# What a timer tells: how often it has gone off since it was asked.
_COUNT_BYTES = 8


class Ticks:
    """`await next_one()` from one task."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._loop = asyncio.get_running_loop()
        self._next: asyncio.Future[None] = self._loop.create_future()

    async def next_one(self) -> None:
        """Returns at once if it has been."""
        await self._next
        self._next = self._loop.create_future()

    def ready(self) -> None:
        os.read(self._fd, _COUNT_BYTES)
        if not self._next.done():
            self._next.set_result(None)


@asynccontextmanager
async def at_rate(begin: float, rate: float) -> AsyncIterator[Ticks]:
    """`rate` a second from `begin` on, which is a time of `perf_counter`: the monotonic clock, on Linux."""
    fd = _checked(_LIBC.timerfd_create(CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC))
    try:
        # every first of each pair is in seconds, each second the nanoseconds that are left: the pause, the first time
        times = (ctypes.c_long * 4)(*_seconds_and_nanos(1 / rate), *_seconds_and_nanos(begin))
        _checked(_LIBC.timerfd_settime(fd, _TFD_TIMER_ABSTIME, times, None))
        made = Ticks(fd)
        asyncio.get_running_loop().add_reader(fd, made.ready)
        try:
            yield made
        finally:
            asyncio.get_running_loop().remove_reader(fd)
    finally:
        os.close(fd)


def _seconds_and_nanos(seconds: float) -> tuple[int, int]:
    part, whole = modf(seconds)
    return int(whole), int(part * _NANOS)


def _checked(answer: int) -> int:
    if answer < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return answer
