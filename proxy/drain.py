"""Stopping: first no new work, then waiting for what runs, then cutting what still does."""

import asyncio


class Drain:
    """How far this process is on its way out; shared by who serves, who reports readiness, and who records endings."""

    def __init__(self) -> None:
        self.is_draining = False
        self.is_cutting = False
        self._in_flight = 0
        self._idle = asyncio.Event()  # set at the end of the last request, once somebody waits for that

    def __enter__(self) -> None:
        """A request begins."""
        self._in_flight += 1

    @property
    def in_flight(self) -> int:
        return self._in_flight

    def __exit__(self, *_: object) -> None:
        self._in_flight -= 1
        if self._in_flight == 0 and self.is_draining:
            self._idle.set()

    async def wait(self, timeout_s: float) -> None:
        """Until no request runs, at most `timeout_s`; what runs then is cut."""
        self.is_draining = True
        try:
            async with asyncio.timeout(timeout_s):
                if self._in_flight:
                    self._idle.clear()
                    await self._idle.wait()
        except TimeoutError:
            pass
        self.is_cutting = True
