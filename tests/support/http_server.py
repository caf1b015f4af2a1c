"""Our HTTP server on a real socket, with a handler of the test's own."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from runtime.http.limits import HttpLimits
from runtime.http.request import Handler
from runtime.http.response import Response
from runtime.http.server import Server, Words

WORDS = Words(
    bad_http=lambda: Response(400, [], b"bad"),
    failed=lambda: Response(500, [], b"failed"),
    crowded=lambda: Response(503, [], b"full"),
)


@dataclass(frozen=True)
class Listening:
    server: Server
    host: str
    port: int

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}/"


@asynccontextmanager
async def listening(handler: Handler, limits: HttpLimits | None = None) -> AsyncIterator[Listening]:
    """On leaving, what still runs is cancelled."""
    server = Server(handler, WORDS, limits or HttpLimits())
    socket_server = await asyncio.get_running_loop().create_server(server, "127.0.0.1", 0)
    host, port = socket_server.sockets[0].getsockname()
    try:
        yield Listening(server, host, port)
    finally:
        socket_server.close()
        await server.close()
