"""The HTTP server: aiohttp's low-level one, a table of routes, and an answer in the contract's shape to whatever comes.

There is no framework between the parser and a handler (see `routes`). What is not in the table is a 404, and nothing
passes unmetered.
"""

import asyncio
from typing import Any

import structlog
from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http_parser import RawRequestMessage
from aiohttp.streams import StreamReader

from proxy.drain import Drain
from proxy.failures import Failure
from proxy.http.answers import failure_response, new_id_header, nothing_at
from proxy.http.routes import Handler, Routes, Table
from runtime.settings import Listen

log = structlog.get_logger("farebox.server")

# Idle client connections; nginx's default.
_KEEP_ALIVE_S = 75.0
# When the last handler has returned, aiohttp still writes its answer.
_LAST_WRITES_S = 1.0


class HttpServer(web.Server):
    """Makes the handler of each connection, which answers bad HTTP in our own words."""

    def __init__(self, table: Table, listen: Listen, drain: Drain) -> None:
        self._drain = drain
        self._limits: dict[str, Any] = {
            "max_line_size": listen.max_header_bytes,
            "max_field_size": listen.max_header_bytes,
            "keepalive_timeout": _KEEP_ALIVE_S,
            "access_log": None,
        }
        self._max_body_bytes = listen.max_body_bytes
        handler = dispatcher(table, drain)
        super().__init__(handler, request_factory=self._request, handler_cancellation=True, **self._limits)

    def __call__(self) -> web.RequestHandler:
        return ConnectionHandler(self, loop=asyncio.get_running_loop(), **self._limits)

    async def shutdown(self, timeout: float | None = None) -> None:
        """Wait for what runs, at most `timeout` seconds, then cut it."""
        await self._drain.wait(timeout or 0.0)
        await super().shutdown(_LAST_WRITES_S)

    def _request(
        self,
        message: RawRequestMessage,
        payload: StreamReader,
        protocol: web.RequestHandler,
        writer: AbstractStreamWriter,
        task: "asyncio.Task[None]",
    ) -> web.BaseRequest:
        loop = asyncio.get_running_loop()
        return web.BaseRequest(message, payload, protocol, writer, task, loop, client_max_size=self._max_body_bytes)


class ConnectionHandler(web.RequestHandler):
    """aiohttp's own, but for what is no HTTP: it would answer in plain text and log what it could not parse."""

    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        if request.writer.output_size > 0:
            raise ConnectionError("the answer has begun")
        log.info("bad_http", status=status, error=type(exc).__name__ if exc else None)
        failure = _of_bad_http(status)
        response = failure_response(failure, [new_id_header()])
        response.force_close()
        return response


def _of_bad_http(status: int) -> Failure:
    if status >= 500:
        return Failure("internal_error", "Farebox failed.")
    return Failure("invalid_http", "The request is not valid HTTP, or its request line or headers are too large.")


def dispatcher(table: Table, drain: Drain) -> Handler:
    """One handler over the whole table."""
    routes = Routes(table)

    async def dispatch(request: web.BaseRequest) -> web.StreamResponse:
        handler = routes.find(request.method, request.path)
        if handler is None:
            return nothing_at(request.path)
        with drain:
            return await handler(request)

    return dispatch
