"""Lanes, on which the parts of a batch are posted beside each other, while others are read and acknowledged.

A wallet is always on the same lane, and a lane posts one part at a time: each wallet's events are posted in the order
in which they were read, and no lane waits for locks of another. While a part is posted, the one before it is
acknowledged, and the one after it is read and made ready.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar
from uuid import UUID

from runtime.tasks import TaskSet

Part = TypeVar("Part")
Result = TypeVar("Result")

# Each keeps one connection to Postgres busy, and a core of its server. One wallet uses one of them.
LANES = 3
# One is being posted, one is ready, one is being acknowledged. What has no room waits in the Stream.
MAX_PARTS = 3
# The lowest bits say which shard a wallet belongs to: those would put all wallets of one shard on one lane.
_SHIFT_BITS = 32


def lane_of(wallet_id: UUID) -> int:
    return (wallet_id.int >> _SHIFT_BITS) % LANES


@dataclass(slots=True)
class _Lane:
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)  # first come, first served
    room: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(MAX_PARTS))


class Lanes(Generic[Part, Result]):
    """Each part is posted when its lane is free, then finished with what that returned, unless it was None.

    What `post` and `finish` raise is raised by the next call of `give` or `all_done`.
    """

    def __init__(
        self,
        post: Callable[[Part], Awaitable[Result | None]],
        finish: Callable[[Part, Result], Awaitable[None]],
    ) -> None:
        self._post = post
        self._finish = finish
        self._lanes = [_Lane() for _ in range(LANES)]
        self._tasks = TaskSet()
        self._failure: Exception | None = None
        self._idle = asyncio.Event()
        self._idle.set()
        self._in_hand = 0

    async def give(self, lane: int, part: Part) -> None:
        """Returns when there is room for the part: `MAX_PARTS` of a lane are in hand at most."""
        await self._lanes[lane].room.acquire()
        self._raise_failure()
        self._in_hand += 1
        self._idle.clear()
        self._tasks.spawn(self._carry(self._lanes[lane], part), name="ledger-lane")

    async def all_done(self) -> None:
        """Waits until nothing is in hand."""
        await self._idle.wait()
        self._raise_failure()

    async def cancel(self) -> None:
        await self._tasks.cancel()

    async def _carry(self, lane: _Lane, part: Part) -> None:
        try:
            async with lane.turn:
                result = await self._post(part)
            if result is not None:
                await self._finish(part, result)
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
