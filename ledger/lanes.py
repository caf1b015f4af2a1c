"""Lanes, on which what was read is posted beside each other, while more is read and acknowledged.

A wallet is always on the same lane, and a lane posts one part at a time: each wallet's events are posted in the order
in which they were read, and no lane waits for locks of another. While a part is posted, the one before it is
acknowledged, and what is read meanwhile becomes the next: the further behind a lane is, the more it posts at once.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar
from uuid import UUID

from runtime.tasks import TaskSet

Item = TypeVar("Item")
Result = TypeVar("Result")

# Each keeps one connection to Postgres busy, and a core of its server. One wallet uses one of them.
LANES = 3
# What is posted at once. 1,000 entries take about 30 ms, which is a sixth less for each than with 300; more gain little
# and hold their wallets longer.
MAX_PART = 1000
# How much may be in hand of what a lane was given: what is posted, what waits for that, what is acknowledged. What has
# no room waits in the Stream.
MAX_GIVEN = 4
# The lowest bits say which shard a wallet belongs to: those would put all wallets of one shard on one lane.
_SHIFT_BITS = 32


def lane_of(wallet_id: UUID) -> int:
    return (wallet_id.int >> _SHIFT_BITS) % LANES


@dataclass(slots=True)
class _Lane:
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)  # first come, first served
    room: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(MAX_GIVEN))
    waiting: list[Any] = field(default_factory=list)

    def take(self) -> list[Any]:
        taken, self.waiting = self.waiting[:MAX_PART], self.waiting[MAX_PART:]
        return taken


class Lanes(Generic[Item, Result]):
    """A part is posted when its lane is free, then finished with what that returned, unless it was None.

    What `post` and `finish` raise is raised by the next call of `give` or `all_done`.
    """

    def __init__(
        self,
        post: Callable[[Sequence[Item]], Awaitable[Result | None]],
        finish: Callable[[Sequence[Item], Result], Awaitable[None]],
    ) -> None:
        self._post = post
        self._finish = finish
        self._lanes = [_Lane() for _ in range(LANES)]
        self._tasks = TaskSet()
        self._failure: Exception | None = None
        self._in_hand = 0
        self._idle = asyncio.Event()
        self._idle.set()

    async def give(self, lane: int, items: Sequence[Item]) -> None:
        """At most MAX_PART of them. Returns when there is room: `MAX_GIVEN` times of a lane are in hand at most."""
        await self._lanes[lane].room.acquire()
        self._raise_failure()
        self._lanes[lane].waiting += items
        self._in_hand += 1
        self._idle.clear()
        self._tasks.spawn(self._carry(self._lanes[lane]), name="ledger-lane")

    async def all_done(self) -> None:
        """Waits until nothing is in hand."""
        await self._idle.wait()
        self._raise_failure()

    async def cancel(self) -> None:
        await self._tasks.cancel()

    async def _carry(self, lane: _Lane) -> None:
        """One for each time that the lane was given something; what it was given may have gone with a part before."""
        try:
            async with lane.turn:
                items = lane.take()
                result = await self._post(items) if items else None
            if result is not None:
                await self._finish(items, result)
        except Exception as error:
            self._failure = self._failure or error
        finally:
            lane.room.release()
            self._in_hand -= 1
            if self._in_hand == 0:
                self._idle.set()

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure
