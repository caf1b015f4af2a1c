"""CSV on its way to a person: a page is read when the one before has been taken, so none waits in memory.

A file that was cut must not look whole: what cannot go on ends with a connection that is reset, and never with a
proper end.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import cast
from uuid import UUID

import structlog

from accounts.errors import ExportsBusy
from runtime.clock import wall_ms
from runtime.coalesce import Overloaded
from runtime.http.request import Reply, Request
from runtime.http.response import HeaderList
from runtime.http.stream import AnswerStream
from runtime.ids import new_request_id
from runtime.places import Places
from runtime.postgres import UNAVAILABLE

log = structlog.get_logger("farebox.downloads")

# Each reads a page in some 30 ms, then waits for its client: eight keep less than one connection to Postgres busy.
MAX_EXPORTS = 8
MAX_EXPORTS_PER_USER = 2
# For one page of 2,000 rows, half a megabyte: who takes longer keeps others from a place.
PAGE_TIMEOUT_S = 60.0


class Downloads:
    """The exports of one process."""

    def __init__(self, page_timeout_s: float = PAGE_TIMEOUT_S) -> None:
        self._places = Places(MAX_EXPORTS, MAX_EXPORTS_PER_USER)
        self._page_timeout_s = page_timeout_s

    async def send(self, request: Request, user_id: UUID, name: str, chunks: AsyncIterator[bytes]) -> Reply:
        """The columns' names and the first page are read before anything is sent: an error can still be one.

        Raises ExportsBusy, or what reading raises.
        """
        try:
            with self._places.take(user_id):
                async with aclosing(cast("AsyncGenerator[bytes, None]", chunks)):
                    return await self._send(request, name, chunks)
        except Overloaded:
            raise ExportsBusy("too many exports run at once: try again when one has ended") from None

    async def _send(self, request: Request, name: str, chunks: AsyncIterator[bytes]) -> Reply:
        request_id = str(new_request_id(wall_ms()))
        first = await anext(chunks) + await anext(chunks, b"")
        stream = request.begin(200, _headers(name, request_id))
        try:
            await self._stream(stream, first, chunks)
        except BaseException as error:
            # not a plain close, which to a client of HTTP/1.0 is the file's proper end
            request.abort(with_reset=True)
            _log_cut(request_id, error)
            if not isinstance(error, Exception):  # cancelled: the client left, or this process is being stopped
                raise
        return stream

    async def _stream(self, stream: AnswerStream, first: bytes, chunks: AsyncIterator[bytes]) -> None:
        stream.write(first)
        await stream.drain(self._page_timeout_s)
        async with asyncio.timeout(self._page_timeout_s) as limit:
            async for chunk in chunks:
                stream.write(chunk)
                await stream.drain(self._page_timeout_s)
                limit.reschedule(asyncio.get_running_loop().time() + self._page_timeout_s)
        stream.finish()


def _log_cut(request_id: str, error: BaseException) -> None:
    """The client left or is too slow, Postgres is away, this process stops; anything else is a mistake of ours."""
    if isinstance(error, (*UNAVAILABLE, asyncio.CancelledError)):
        log.info("export_cut", request_id=request_id, error=type(error).__name__)
    else:
        log.error("export_cut", request_id=request_id, exc_info=error)


def _headers(name: str, request_id: str) -> HeaderList:
    return [
        ("content-type", "text/csv; charset=utf-8; header=present"),
        ("content-disposition", f'attachment; filename="farebox-{name}.csv"'),
        ("cache-control", "no-store"),
        ("x-content-type-options", "nosniff"),
        ("x-request-id", request_id),
    ]
