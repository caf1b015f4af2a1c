"""Waiting that a stop can cut short, and how long to wait before trying again."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass

FIRST_S = 0.1
# Long enough to leave a struggling server alone, short enough that no one waits for us when it is back.
LONGEST_S = 5.0


@dataclass(slots=True)
class Backoff:
    """Doubles from `first_s` up to `longest_s`; `reset` after a success."""

    first_s: float = FIRST_S
    longest_s: float = LONGEST_S
    _next_s: float = 0.0

    def next_s(self) -> float:
        self._next_s = min(self.longest_s, self._next_s * 2 or self.first_s)
        return self._next_s

    def reset(self) -> None:
        self._next_s = 0.0


async def pause(stop: asyncio.Event, seconds: float) -> bool:
    """Waits, at most until `stop` is set; says whether it is."""
    with suppress(TimeoutError):
        # not wait_for: before Python 3.12 it forgets a cancellation that comes together with the event
        async with asyncio.timeout(seconds):
            await stop.wait()
    return stop.is_set()
