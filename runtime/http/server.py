"""All connections of one server: who answers them, their limits of time, their end.

One look a second at all connections stands for every timer there would be. With none open there is none.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from runtime.http.connection import Connection
from runtime.http.crowd import Crowd
from runtime.http.limits import HttpLimits
from runtime.http.request import Handler
from runtime.http.response import Response

log = structlog.get_logger("farebox.server")

_SWEEP_S = 1.0
# When the last handler has returned, its answer is still on its way to the client.
_LAST_WRITES_S = 1.0


@dataclass(frozen=True, slots=True)
class Words:
    """Answers to what no handler answers."""

    bad_http: Callable[[], Response]
    failed: Callable[[], Response]
    crowded: Callable[[], Response]


class Server:
    """Called once for each connection, as `loop.create_server` wants it."""

    def __init__(self, handler: Handler, words: Words, limits: HttpLimits) -> None:
        self.limits = limits
        self.is_draining = False
        self.handler = handler
        self._words = words
        self._connections: set[Connection] = set()
        self._crowd = Crowd()
        self._turned_away = 0
        self._sweep: asyncio.TimerHandle | None = None
        self._deserted: asyncio.Event | None = None

    def __call__(self) -> Connection:
        return Connection(self)

    def __len__(self) -> int:
        """How many connections are open."""
        return len(self._connections)

    def keep_nobody(self) -> None:
        """From now on a connection is closed after its next answer, which says so; a client that waits with its next
        request is not cut off while it may be sending it."""
        self.is_draining = True

    def begin_draining(self) -> None:
        """Nobody is kept: idle connections are closed now, the others after their answer."""
        self.keep_nobody()
        for connection in list(self._connections):
            connection.close_if_idle()

    async def close(self) -> None:
        """Cut what is still there, once what is written has had a moment to arrive; handlers are cancelled."""
        self.begin_draining()
        tasks = [connection.task for connection in self._connections if connection.task is not None]
        for task in tasks:
            task.cancel()
        await self._until_deserted(_LAST_WRITES_S)
        for connection in list(self._connections):
            connection.abort()
        await self._until_deserted(_LAST_WRITES_S)
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _until_deserted(self, timeout_s: float) -> None:
        if not self._connections:
            return
        self._deserted = asyncio.Event()
        try:
            async with asyncio.timeout(timeout_s):
                await self._deserted.wait()
        except TimeoutError:
            pass

    # what connections ask for

    def bad_http(self, reason: str) -> Response:
        # the reason is llhttp's or ours; it names a rule and quotes nothing
        log.info("bad_http", status=400, reason=reason)
        return self._words.bad_http()

    def failed(self, error: Exception) -> Response:
        log.error("handler_failed", exc_info=error)
        return self._words.failed()

    def opened(self, connection: Connection) -> None:
        self._connections.add(connection)
        self._crowd.enter(connection.remote)
        if self._sweep is None:
            self._sweep_later()
        if self._crowd.is_over(connection.remote, self.limits):
            self._turned_away += 1
            connection.turn_away(self._words.crowded())

    def closed(self, connection: Connection) -> None:
        self._connections.discard(connection)
        self._crowd.leave(connection.remote)
        if not self._connections and self._deserted is not None:
            self._deserted.set()

    # time

    def _sweep_later(self) -> None:
        self._sweep = asyncio.get_running_loop().call_later(_SWEEP_S, self._sweep_now)

    def _sweep_now(self) -> None:
        self._sweep = None
        self.sweep(asyncio.get_running_loop().time())
        if self._connections:
            self._sweep_later()

    def sweep(self, now_s: float) -> None:
        """End what is beyond its time; and say how many found no room, once a second and not once each."""
        if self._turned_away:
            log.warning("connections_turned_away", count=self._turned_away, left=len(self._connections))
            self._turned_away = 0
        for connection in list(self._connections):
            connection.cut_if_over(now_s)
