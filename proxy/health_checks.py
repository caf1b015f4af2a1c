"""Asks one upstream again and again whether it is well, over a connection of its own."""

import asyncio

from proxy.routing import Route
from proxy.upstream.errors import UpstreamError
from proxy.upstream.pool import UpstreamPool, UpstreamRequest
from runtime.settings import HealthCheck


class HealthChecks:
    """A good status in time is well; whatever it says beside it is not read."""

    def __init__(self, route: Route, settings: HealthCheck, pool: UpstreamPool) -> None:
        self._route = route
        self._settings = settings
        self._pool = pool

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            self._route.standing.checked(await self.is_well())
            await asyncio.sleep(self._settings.interval_s)

    async def is_well(self) -> bool:
        sink = _Status()
        request = UpstreamRequest("GET", self._settings.path, self._route.own_headers, is_rooted=True)
        try:
            async with asyncio.timeout(self._settings.timeout_s):
                handle = await self._pool.send(request, sink)
                try:
                    return await sink.is_good
                finally:
                    handle.abort()  # where it is not over: nobody reads on
        except (UpstreamError, TimeoutError):
            return False


class _Status:
    """Takes one answer, and keeps nothing of it."""

    def __init__(self) -> None:
        self.is_good: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._status = 0

    def on_headers(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        self._status = status

    def on_body(self, data: bytes) -> None:
        """Not of interest."""

    def on_end(self, last: bytes = b"") -> None:
        self._answer(200 <= self._status < 300)

    def on_failure(self, error: UpstreamError) -> None:
        self._answer(False)

    def _answer(self, is_good: bool) -> None:
        if not self.is_good.done():
            self.is_good.set_result(is_good)
