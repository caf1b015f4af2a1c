"""The client's end of a streamed answer: written to synchronously, from the upstream's own callback.

aiohttp sends the status and headers and knows when the connection is free again; the body's bytes go to the
transport directly, in the framing that the headers announced, without a task switch a chunk. One write makes one
segment: size line, bytes and line end are joined.
"""

import asyncio

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter

# asyncio and uvloop pause a writer at 64 KiB by default; reading from the upstream stops at the same mark.
HIGH_WATER_BYTES = 64 << 10


class ClientStream:
    """One prepared response that is being streamed."""

    def __init__(self, transport: asyncio.WriteTransport, writer: AbstractStreamWriter, *, is_chunked: bool) -> None:
        self._transport = transport
        self._writer = writer
        self._is_chunked = is_chunked

    def write(self, data: bytes) -> None:
        """Hand `data` to the transport; a connection that is already lost swallows it."""
        if not data or self._transport.is_closing():
            return
        self._transport.write(b"%x\r\n%b\r\n" % (len(data), data) if self._is_chunked else data)

    @property
    def is_congested(self) -> bool:
        """The client reads more slowly than we write: the upstream is to wait."""
        return self._transport.get_write_buffer_size() > HIGH_WATER_BYTES

    async def drain(self, timeout_s: float) -> None:
        """Wait until the client has read on; raises TimeoutError, or ConnectionError if it left."""
        async with asyncio.timeout(timeout_s):
            await self._writer.drain()

    async def finish(self) -> None:
        """End the body."""
        await self._writer.write_eof()


async def begin(
    request: web.BaseRequest, status: int, headers: list[tuple[str, str]]
) -> tuple[web.StreamResponse, ClientStream]:
    """Send status and headers. The length of what follows is not known: chunked, or until the end for HTTP/1.0."""
    response = web.StreamResponse(status=status)
    response.headers.extend(headers)
    is_chunked = request.version >= (1, 1)
    if is_chunked:
        response.enable_chunked_encoding()
    writer = await response.prepare(request)
    transport = request.transport
    if writer is None or transport is None:
        raise ConnectionResetError("the client left before the answer began")
    return response, ClientStream(transport, writer, is_chunked=is_chunked)
