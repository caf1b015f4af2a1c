"""Stopping: first no new work, then waiting for what runs, then cutting what still does.

Requests are counted by the configuration that they began with, so that what only older ones use can be closed when the
last of those has ended.
"""

import asyncio
from itertools import takewhile


class InFlight:
    """Requests that run."""

    def __init__(self) -> None:
        self._count = 0
        self._emptied: asyncio.Event | None = None  # once somebody waits for that

    @property
    def count(self) -> int:
        return self._count

    def __enter__(self) -> None:
        """A request begins."""
        self._count += 1

    def __exit__(self, *_: object) -> None:
        self._count -= 1
        if self._count == 0 and self._emptied is not None:
            self._emptied.set()

    async def idle(self) -> None:
        """Until no request runs."""
        while self._count:
            self._emptied = self._emptied or asyncio.Event()
            self._emptied.clear()
            await self._emptied.wait()


class Drain(InFlight):
    """How far this process is on its way out; shared by who serves, who reports readiness, and who records endings."""

    def __init__(self) -> None:
        super().__init__()
        self.is_draining = False
        self.is_cutting = False
        self._younger: list[Generation] = []

    @property
    def in_flight(self) -> int:
        """With whichever configuration they began."""
        return self.count + sum(each.count for each in self._younger)

    def generation(self) -> "Generation":
        """For the requests that begin from now on; those that run are counted where they began."""
        self._younger.append(Generation(self))
        return self._younger[-1]

    async def idle_before(self, generation: "Generation") -> None:
        """Until no request runs that began before `generation` was made."""
        older = list(takewhile(lambda each: each is not generation, self._younger))
        for each in (self, *older):
            await InFlight.idle(each)
        self._younger = [each for each in self._younger if each not in older]

    async def wait(self, timeout_s: float) -> None:
        """Until no request runs, at most `timeout_s`; what runs then is cut."""
        self.is_draining = True
        try:
            async with asyncio.timeout(timeout_s):
                for each in (self, *self._younger):
                    await InFlight.idle(each)
        except TimeoutError:
            pass
        self.is_cutting = True


class Generation(InFlight):
    """Requests that began with one configuration."""

    def __init__(self, whole: Drain) -> None:
        super().__init__()
        self._whole = whole

    @property
    def is_cutting(self) -> bool:
        return self._whole.is_cutting
