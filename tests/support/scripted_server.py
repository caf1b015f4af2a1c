"""A TCP server whose side of each conversation is a coroutine, and a sink that writes down what it is told.

async def script(peer: Peer) -> None:
    await peer.read_request()
    await peer.send(ok(b"hello"))

async with serve(script) as server:
    pool = UpstreamPool(server.origin, PoolLimits())
"""

import asyncio
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from proxy.upstream.errors import UpstreamError
from proxy.upstream.request import Origin

_RST_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER on, zero seconds: close sends RST
_HEAD_LIMIT_BYTES = 1 << 20


class Peer:
    """The server's end of one connection."""

    def __init__(self, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.number = number  # 0 for the first connection the server accepted
        self.reader = reader
        self.writer = writer
        self.over = asyncio.Event()  # the script has ended, by itself or because the client closed

    async def read_request(self) -> tuple[bytes, bytes]:
        """Head and body of the next request; IncompleteReadError when the client closed instead."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        length = 0
        for line in head.split(b"\r\n"):
            if line.startswith(b"content-length: "):
                length = int(line.removeprefix(b"content-length: "))
        return head, await self.reader.readexactly(length)

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def closed_by_client(self) -> None:
        """Wait until the client closes; whatever it sends before is dropped."""
        try:
            while await self.reader.read(65_536):
                pass
        except ConnectionError:
            pass

    def close(self) -> None:
        self.writer.close()

    def reset(self) -> None:
        """Close with RST, as a killed process with unread data does."""
        connection: socket.socket = self.writer.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RST_ON_CLOSE)
        self.writer.transport.abort()


Script = Callable[[Peer], Awaitable[None]]


class ScriptedServer:
    def __init__(self, script: Script, scheme: str) -> None:
        self._script = script
        self._scheme = scheme
        self._tasks: set[asyncio.Task[None]] = set()
        self.origin = Origin(scheme, "127.0.0.1", 0)
        self.peers: list[Peer] = []

    @property
    def accepted(self) -> int:
        return len(self.peers)

    async def converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        peer = Peer(len(self.peers), reader, writer)
        self.peers.append(peer)
        try:
            await self._script(peer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the client closed: most scripts end so
        except asyncio.CancelledError:
            pass  # `finish` ended it; Python 3.11's streams would report a cancelled handler as an error
        finally:
            self._tasks.discard(task)
            peer.over.set()
            writer.close()

    def listening_on(self, port: int) -> None:
        self.origin = Origin(self._scheme, "127.0.0.1", port)

    async def finish(self) -> None:
        left = list(self._tasks)
        for peer in self.peers:
            peer.writer.transport.abort()
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)


@asynccontextmanager
async def serve(script: Script, *, tls: ssl.SSLContext | None = None) -> AsyncIterator[ScriptedServer]:
    scripted = ScriptedServer(script, "https" if tls is not None else "http")
    listener = await asyncio.start_server(scripted.converse, "127.0.0.1", 0, ssl=tls, limit=_HEAD_LIMIT_BYTES)
    scripted.listening_on(listener.sockets[0].getsockname()[1])
    try:
        yield scripted
    finally:
        listener.close()
        await scripted.finish()


def ok(body: bytes, *headers: bytes) -> bytes:
    """A complete 200 with a length."""
    lines = [b"HTTP/1.1 200 OK", b"content-length: %d" % len(body), *headers]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


class RecordingSink:
    """Keeps what it was told, and insists on the order the contract promises."""

    def __init__(self) -> None:
        self.status: int | None = None
        self.headers: list[tuple[bytes, bytes]] = []
        self.pieces: list[bytes] = []
        self.error: UpstreamError | None = None
        self.over = False
        self._changed = asyncio.Event()

    @property
    def body(self) -> bytes:
        return b"".join(self.pieces)

    def on_headers(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        assert self.status is None and not self.over
        self.status, self.headers = status, headers
        self._changed.set()

    def on_body(self, data: bytes) -> None:
        assert self.status is not None and not self.over and data
        self.pieces.append(data)
        self._changed.set()

    def on_end(self, last: bytes = b"") -> None:
        assert self.status is not None and not self.over
        self.pieces += [last] if last else []
        self.over = True
        self._changed.set()

    def on_failure(self, error: UpstreamError) -> None:
        assert not self.over
        self.over, self.error = True, error
        self._changed.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for the next callbacks until `condition` holds."""
        while not condition():
            self._changed.clear()
            await self._changed.wait()

    async def end(self) -> "RecordingSink":
        """Wait for a good end."""
        await self.until(lambda: self.over)
        assert self.error is None, self.error
        return self

    async def failure(self) -> UpstreamError:
        """Wait for a failure."""
        await self.until(lambda: self.over)
        assert self.error is not None
        return self.error
