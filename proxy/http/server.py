"""The gateway's HTTP server: a table of routes, and an answer in the contract's shape to whatever comes.

There is no framework between the parser and a handler (see `routes`). What is not in the table is a 404, and nothing
passes unmetered.
"""

from proxy.drain import Drain, InFlight
from proxy.failures import Failure, retry_after
from proxy.http.answers import failure_response, new_id_header, nothing_at
from proxy.http.cors import with_cors
from proxy.http.routes import Routes, Table
from runtime.http.limits import HttpLimits
from runtime.http.request import Handler, Reply, Request
from runtime.http.response import Response
from runtime.http.server import Server, Words
from runtime.settings import Listen


class HttpServer(Server):
    """Serves a table, until it is told to stop."""

    def __init__(self, table: Table, listen: Listen, drain: Drain, *, is_public: bool = True) -> None:
        """`is_public`: pages of `listen.cors_origins` may call it from a browser."""
        self._is_public = is_public
        super().__init__(self._handler(table, listen, drain), Words(bad_http, failed, crowded), limits_of(listen))
        self._drain = drain

    def exchange(self, table: Table, listen: Listen, in_flight: InFlight) -> None:
        """Serve these routes from the next request on, within the new limits from the next connection on."""
        self.limits = limits_of(listen)
        self.handler = self._handler(table, listen, in_flight)

    def _handler(self, table: Table, listen: Listen, in_flight: InFlight) -> Handler:
        return with_cors(dispatcher(table, in_flight), listen.cors_origins if self._is_public else ())

    async def shutdown(self, timeout_s: float) -> None:
        """Wait for what runs, at most `timeout_s`, then cut it."""
        self.begin_draining()
        await self._drain.wait(timeout_s)
        await self.close()


def limits_of(listen: Listen) -> HttpLimits:
    return HttpLimits(
        max_header_bytes=listen.max_header_bytes,
        max_body_bytes=listen.max_body_bytes,
        keep_alive_s=listen.keep_alive_timeout_s,
        head_s=listen.header_timeout_s,
        max_connections=listen.max_connections,
        max_connections_per_address=listen.max_connections_per_address,
        exempt=listen.trusted_proxies,
    )


def bad_http() -> Response:
    message = "The request is not valid HTTP, or its request line or headers are too large."
    return failure_response(Failure("invalid_http", message), [new_id_header()])


def failed() -> Response:
    return failure_response(Failure("internal_error", "Farebox failed."), [new_id_header()])


def crowded() -> Response:
    headers = retry_after(_CROWDED_RETRY_MS)
    return failure_response(Failure("overloaded", "Too many connections are open.", headers=headers), [new_id_header()])


# Connections come free as answers end.
_CROWDED_RETRY_MS = 1_000


def dispatcher(table: Table, in_flight: InFlight) -> Handler:
    """One handler over the whole table; `in_flight` counts what it has begun."""
    routes = Routes(table)

    async def dispatch(request: Request) -> Reply:
        handler = routes.find(request.method, request.path)
        if handler is None:
            return nothing_at(request.path)
        with in_flight:
            return await handler(request)

    return dispatch
