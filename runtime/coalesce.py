"""Many callers, one call: what is asked within one tick of the loop travels together.

A call to Redis or Postgres costs tens of microseconds of client CPU whatever it carries. A `Coalescer` collects
what callers submit, hands up to `max_batch` of it to one call at the end of the tick, and gives each caller its
own answer. While `max_in_flight` calls are under way the next batch grows: the busier, the fuller. Where nobody is in
a hurry, `pause_s` lets it grow further.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from runtime.tasks import TaskSet, running_loop

Q = TypeVar("Q")
R = TypeVar("R")


class Overloaded(Exception):
    """More callers wait than the coalescer may hold."""


class Coalescer(Generic[Q, R]):
    """`call` gets a batch and returns one answer per item, in order. If it raises, every item of the batch fails so.
    What is asked within `pause_s` of a call waits for the rest of it; after a longer quiet nobody waits.

    Who no longer waits cancels the future, and the item is asked all the same. Of each item whose future was cancelled,
    here too, `abandoned` is told, with the answer, or None where there is none. It must not raise.
    """

    def __init__(
        self,
        call: Callable[[list[Q]], Awaitable[Sequence[R]]],
        *,
        name: str,
        max_batch: int,
        max_in_flight: int,
        max_waiting: int,
        pause_s: float = 0.0,
        abandoned: Callable[[Q, R | None], None] | None = None,
    ) -> None:
        self._call = call
        self._name = name
        self._max_batch = max_batch
        self._max_in_flight = max_in_flight
        self._max_waiting = max_waiting
        self._pause_s = pause_s
        self._next_call_s = 0.0  # not before, by the loop's time
        self._abandoned = abandoned
        self._waiting: deque[tuple[Q, asyncio.Future[R]]] = deque()
        self._tasks = TaskSet()
        # Asking which loop runs is a system call; there is one.
        self._loop: asyncio.AbstractEventLoop | None = None
        self._flush_is_due = False
        self._in_flight = 0
        self._under_way = 0  # items in them
        self._is_closed = False
        self._idle = asyncio.Event()
        self._idle.set()

    def __len__(self) -> int:
        """How many wait to be sent."""
        return len(self._waiting)

    def submit(self, item: Q) -> asyncio.Future[R]:
        """Queue `item`; raises Overloaded when `max_waiting` items wait already, or after `drain`."""
        if self._is_closed:
            raise Overloaded(f"{self._name}: closed")
        if len(self._waiting) >= self._max_waiting:
            raise Overloaded(f"{self._name}: {self._max_waiting} callers wait")
        loop = self._loop
        if loop is None:
            loop = self._loop = running_loop()
        future: asyncio.Future[R] = loop.create_future()
        self._waiting.append((item, future))
        if not self._flush_is_due:
            self._idle.clear()
            self._flush_soon(loop)
        return future

    async def drain(self, timeout_s: float) -> int:
        """Wait until all that was submitted is answered, at most `timeout_s`, and close.

        Returns how many are left; their futures are cancelled.
        """
        try:
            async with asyncio.timeout(timeout_s):
                await self._idle.wait()
        except TimeoutError:
            pass
        left = len(self._waiting) + self._under_way
        self._is_closed = True
        while self._waiting:
            self._give_up(*self._waiting.popleft())
        await self._tasks.cancel()
        self._idle.set()
        return left

    def _flush_soon(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._flush_is_due:
            return
        self._flush_is_due = True
        if self._pause_s and (wait_s := self._next_call_s - loop.time()) > 0:
            loop.call_later(wait_s, self._flush)
        else:
            loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flush_is_due = False
        while self._waiting and self._in_flight < self._max_in_flight:
            size = min(len(self._waiting), self._max_batch)
            if size == len(self._waiting):
                batch = list(self._waiting)
                self._waiting.clear()
            else:
                batch = [self._waiting.popleft() for _ in range(size)]
            self._in_flight += 1
            self._under_way += size
            self._tasks.spawn(self._run(batch), name=self._name)
            if self._pause_s:
                self._next_call_s = running_loop().time() + self._pause_s

    async def _run(self, batch: list[tuple[Q, asyncio.Future[R]]]) -> None:
        try:
            answers = await self._call([item for item, _ in batch])
            if len(answers) != len(batch):
                raise RuntimeError(f"{self._name}: {len(answers)} answers to {len(batch)} items")
        except Exception as error:
            self._fail(batch, error)
        except BaseException:
            for item, future in batch:
                self._give_up(item, future)
            raise
        else:
            self._hand_out(batch, answers)
        finally:
            self._in_flight -= 1
            self._under_way -= len(batch)
            if self._waiting:
                self._flush_soon(running_loop())
            elif self._under_way == 0:
                self._idle.set()

    def _hand_out(self, batch: list[tuple[Q, asyncio.Future[R]]], answers: Sequence[R]) -> None:
        for (item, future), answer in zip(batch, answers, strict=True):
            if future.done():
                self._give_up(item, future, answer)
            else:
                future.set_result(answer)

    def _fail(self, batch: list[tuple[Q, asyncio.Future[R]]], error: Exception) -> None:
        for item, future in batch:
            if future.done():
                self._give_up(item, future)
            else:
                future.set_exception(error)
                future.exception()  # marks it as seen: a caller that left must not cause a warning

    def _give_up(self, item: Q, future: asyncio.Future[R], answer: R | None = None) -> None:
        future.cancel()
        if self._abandoned is not None:
            self._abandoned(item, answer)
