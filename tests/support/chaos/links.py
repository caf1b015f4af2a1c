"""A TCP proxy between two parts, which can be told to do what networks do.

A link is made with a port of its own; whom it leads to may change, as a process that is started again has another port.
"""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum

# What is on its way inside a link, per direction: as small as a busy network card's queue.
CHUNK_BYTES = 4096
# Everything is reset by then, so this takes a turn of the loop or two.
_CLOSE_S = 10.0
_LINGER_OFF = struct.pack("ii", 1, 0)


class Mode(StrEnum):
    PASS = "pass"
    CUT = "cut"  # connections are reset, new ones too
    HANG = "hang"  # accepts, and reads nothing: what was sent waits
    SWALLOW = "swallow"  # reads, and passes nothing on: what was sent is gone
    SLOW = "slow"  # every piece is late, and few bytes pass
    HALF_OPEN = "half_open"  # what the server says never arrives


@dataclass(frozen=True, slots=True)
class Pace:
    """Of a slow link."""

    latency_s: float = 0.2
    bytes_per_s: int = 20_000


Address = tuple[str, int]


class Link:
    """`open_link` makes one. `target` None refuses, as a port does where nobody listens."""

    def __init__(self, name: str, target: Address | None) -> None:
        self.name = name
        self.target = target
        self.port = 0
        self.pace = Pace()
        self._mode = Mode.PASS
        self._changed = asyncio.Event()
        self._through: set[_Through] = set()
        self._serving: set[asyncio.Task[None]] = set()

    @property
    def mode(self) -> Mode:
        return self._mode

    def set(self, mode: Mode, pace: Pace | None = None) -> None:
        """From now on, for connections that are open too. A connection that lost bytes is reset by the next change."""
        self._mode, self.pace = mode, pace or Pace()
        for through in list(self._through):
            if mode is Mode.CUT or through.has_lost:
                through.reset()
        self._changed.set()
        self._changed = asyncio.Event()

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        try:
            await self._serve(reader, writer)
        finally:
            self._serving.discard(task)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._mode is Mode.CUT or self.target is None:
            _reset(writer)
            return
        try:
            server_reader, server_writer = await asyncio.open_connection(*self.target, limit=CHUNK_BYTES)
        except OSError:
            _reset(writer)
            return
        through = _Through(self, writer, server_writer)
        self._through.add(through)
        try:
            await asyncio.gather(
                through.pump(reader, server_writer, is_answer=False),
                through.pump(server_reader, writer, is_answer=True),
            )
        finally:
            through.close()
            self._through.discard(through)

    async def passes(self, is_answer: bool, size: int) -> bool:
        """Waits until this many bytes may go on; False: they are lost."""
        while self._mode is Mode.HANG:
            await self._changed.wait()
        if self._mode is Mode.SLOW:
            changed = self._changed
            try:  # late, or until the link is not slow any more
                await asyncio.wait_for(changed.wait(), self.pace.latency_s + size / self.pace.bytes_per_s)
            except TimeoutError:
                pass
        return not (self._mode is Mode.SWALLOW or (self._mode is Mode.HALF_OPEN and is_answer))

    async def close(self) -> None:
        """Resets everything; returns when nothing of it runs any more."""
        self.set(Mode.CUT)
        if self._serving:
            await asyncio.wait(self._serving, timeout=_CLOSE_S)


class _Through:
    """One connection through a link. `has_lost`: bytes of it were swallowed, so it is no connection any more."""

    def __init__(self, link: Link, client: asyncio.StreamWriter, server: asyncio.StreamWriter) -> None:
        self._link = link
        self._writers = (client, server)
        self.has_lost = False

    async def pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_answer: bool) -> None:
        try:
            while data := await reader.read(CHUNK_BYTES):
                if await self._link.passes(is_answer, len(data)):
                    writer.write(data)
                    await writer.drain()
                else:
                    self.has_lost = True
            if await self._link.passes(is_answer, 0) and writer.can_write_eof():
                writer.write_eof()
        except (OSError, RuntimeError):  # one side is gone, and so is the connection
            self.reset()

    def reset(self) -> None:
        for writer in self._writers:
            _reset(writer)

    def close(self) -> None:
        for writer in self._writers:
            writer.close()


def _reset(writer: asyncio.StreamWriter) -> None:
    """RST, not FIN."""
    if writer.transport.is_closing():
        return
    peer: socket.socket = writer.get_extra_info("socket")
    try:
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_OFF)
    except OSError:
        pass  # it is gone already
    writer.transport.abort()


@asynccontextmanager
async def open_link(name: str, target: Address | None = None) -> AsyncIterator[Link]:
    """A link to `target`, passing, until the end of the block."""
    link = Link(name, target)
    server = await asyncio.start_server(link.accept, "127.0.0.1", 0, limit=CHUNK_BYTES)
    link.port = server.sockets[0].getsockname()[1]
    try:
        yield link
    finally:
        server.close()
        await link.close()
        await server.wait_closed()
