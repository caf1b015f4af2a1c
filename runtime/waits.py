"""Waiting for many things, each for the same time at most: one timer for all of them.

A timer of its own, set and cancelled, costs each a tenth of what a request does.
"""

import asyncio
from collections import deque
from typing import Any

from runtime.tasks import running_loop


class Waits:
    """For `timeout_s` each: who came first is the first whose time is over."""

    def __init__(self, timeout_s: float) -> None:
        self.timeout_s = timeout_s
        self._waiting: deque[tuple[asyncio.Future[Any], float]] = deque()  # and until when
        self._timer: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None  # of all who wait here

    def __len__(self) -> int:
        """What is kept; what is done goes with the next one that comes."""
        return len(self._waiting)

    async def wait(self, future: "asyncio.Future[Any]") -> bool:
        """Is it done in time? What came of it is not looked at.

        If not, or if the waiting task is cancelled, `future` is cancelled: shield what must not be.
        """
        if future.done():
            return True
        self._add(future)
        try:
            await future
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if not future.cancelled() or (task is not None and task.cancelling()):
                raise
            return False
        except Exception:
            return True  # whoever made it tells of that
        return True

    def _add(self, future: "asyncio.Future[Any]") -> None:
        loop, waiting = self._loop, self._waiting
        if loop is None:
            loop = self._loop = running_loop()
        while waiting and waiting[0][0].done():
            waiting.popleft()
        until_s = loop.time() + self.timeout_s
        waiting.append((future, until_s))
        if self._timer is None:
            self._timer = loop.call_at(until_s, self._look_at_the_clock, loop)

    def _look_at_the_clock(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        waiting, now_s = self._waiting, loop.time()
        while waiting and (waiting[0][1] <= now_s or waiting[0][0].done()):
            waiting.popleft()[0].cancel()  # of what is done, that changes nothing
        if waiting:
            self._timer = loop.call_at(waiting[0][1], self._look_at_the_clock, loop)
