"""An answer that is written to as its bytes come to be: synchronously, from whichever callback they came in.

The body's bytes go to the transport in the framing that the head announced, without a task switch a chunk. One write
makes one segment: size line, bytes and line end are joined, with the head if they are there by then, with the end if
they came with it.
"""

import asyncio
from collections.abc import Awaitable, Callable

# asyncio and uvloop pause a writer at 64 KiB by default; reading from the upstream stops at the same mark.
HIGH_WATER_BYTES = 64 << 10
_LAST_CHUNK = b"0\r\n\r\n"


class AnswerStream:
    """One begun answer. `drained` waits until the transport takes more, or raises ConnectionError."""

    __slots__ = ("_drained", "_is_chunked", "_transport", "is_finished")

    def __init__(
        self, transport: asyncio.WriteTransport, drained: Callable[[], Awaitable[None]], *, is_chunked: bool
    ) -> None:
        self._transport = transport
        self._drained = drained
        self._is_chunked = is_chunked
        self.is_finished = False

    def write(self, data: bytes) -> None:
        """Hand `data` to the transport; a connection that is already lost swallows it."""
        if not data or self._transport.is_closing():
            return
        self._transport.write(self.framed(data))

    def framed(self, data: bytes) -> bytes:
        """As it goes over the wire."""
        return b"%x\r\n%b\r\n" % (len(data), data) if self._is_chunked and data else data

    @property
    def is_congested(self) -> bool:
        """The client reads more slowly than we write: whoever writes is to wait."""
        return self._transport.get_write_buffer_size() > HIGH_WATER_BYTES

    async def drain(self, timeout_s: float) -> None:
        """Wait until the client has read on; raises TimeoutError, or ConnectionError if it left."""
        async with asyncio.timeout(timeout_s):
            await self._drained()

    def finish(self, last: bytes = b"") -> None:
        """End the body, with its `last` bytes."""
        self.is_finished = True
        data = self.framed(last) + (_LAST_CHUNK if self._is_chunked else b"")
        if data and not self._transport.is_closing():
            self._transport.write(data)
