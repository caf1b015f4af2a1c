"""The HTTP server without a socket: raw bytes in, its answer parsed, in one event loop.

async with connected({("GET", "/"): handler}) as client:
    answer = await client.ask(b"GET / HTTP/1.1\\r\\nHost: farebox\\r\\n\\r\\n")
"""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httptools
import orjson

from proxy.drain import Drain
from proxy.http.routes import Table
from proxy.http.server import HttpServer
from runtime.http.server import Server
from runtime.settings import Listen
from tests.support.waiting import until


@dataclass
class Answer:
    """What the server sent, taken apart; header names in lower case, repeated ones joined by a comma."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    is_complete: bool = False

    def json(self) -> Any:
        return orjson.loads(self.body)


class MemoryTransport(asyncio.Transport):
    """Keeps what is written, and what of it together; `buffered` is what a slow client has not taken yet."""

    def __init__(self) -> None:
        super().__init__()
        self.written = bytearray()
        self.segments: list[bytes] = []
        self.buffered = 0
        self.is_closed = False
        self.was_aborted = False
        self.has_ended = False
        self.is_read_paused = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        assert not self.is_closed and not self.has_ended
        self.written += data
        self.segments.append(bytes(data))

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview]) -> None:
        self.write(b"".join(list_of_data))

    def get_write_buffer_size(self) -> int:
        return self.buffered

    def is_closing(self) -> bool:
        return self.is_closed

    def close(self) -> None:
        self.is_closed = True

    def write_eof(self) -> None:
        """We say no more, and still read."""
        assert not self.has_ended
        self.has_ended = True

    def abort(self) -> None:
        self.was_aborted = self.is_closed = True

    def pause_reading(self) -> None:
        assert not self.is_read_paused
        self.is_read_paused = True

    def resume_reading(self) -> None:
        assert self.is_read_paused
        self.is_read_paused = False


class MemoryClient:
    """One connection to the server."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.protocol = server()
        self.transport = MemoryTransport()
        self.protocol.connection_made(self.transport)

    async def ask(self, raw: bytes) -> Answer:
        """Send these bytes and wait for one whole answer, or for the server to close."""
        self.send(raw)
        await until(lambda: self.answer().is_complete or self.is_over)
        return self.answer()

    @property
    def is_over(self) -> bool:
        """The server has said that nothing more will come."""
        return self.transport.is_closed or self.transport.has_ended

    def send(self, raw: bytes) -> None:
        self.protocol.data_received(raw)

    def leave(self) -> None:
        """The client closes the connection."""
        self.transport.is_closed = True
        self.protocol.connection_lost(None)

    def answer(self) -> Answer:
        """The first answer, as far as it has come."""
        sink = _Sink()
        parser = httptools.HttpResponseParser(sink)
        parser.feed_data(bytes(self.transport.written))
        if sink.answer.headers or self.transport.written:
            sink.answer.status = parser.get_status_code()
        return sink.answer


class _Sink:
    def __init__(self) -> None:
        self.answer = Answer()

    def on_header(self, name: bytes, value: bytes) -> None:
        lowered = name.decode().lower()
        before = self.answer.headers.get(lowered)
        self.answer.headers[lowered] = value.decode() if before is None else f"{before}, {value.decode()}"

    def on_body(self, data: bytes) -> None:
        self.answer.body += data

    def on_message_complete(self) -> None:
        self.answer.is_complete = True


@asynccontextmanager
async def connected(routes: Table, listen: Listen | None = None) -> AsyncIterator[MemoryClient]:
    """A client of a server with these routes."""
    server = HttpServer(routes, listen or Listen(), Drain())
    client = MemoryClient(server)
    try:
        yield client
    finally:
        if not client.transport.is_closed:
            client.leave()
        await server.shutdown(1.0)


def get(path: str, *headers: str) -> bytes:
    return _head("GET", path, headers)


def post(path: str, body: bytes, *headers: str) -> bytes:
    return _head("POST", path, (*headers, f"Content-Length: {len(body)}")) + body


def _head(method: str, path: str, headers: Iterable[str]) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: farebox", *headers, "", ""]
    return "\r\n".join(lines).encode("latin-1")
