"""Where a serving process listens: at one port, or at two, of which one is for administrators only.

Both are closed together: while one waited for what runs, the other would go on taking more.
"""

import asyncio
from asyncio import sleep
from contextlib import AsyncExitStack

import structlog

from proxy.drain import Drain, InFlight
from proxy.http.routes import Table
from proxy.http.server import HttpServer
from proxy.process.starting import StartError
from proxy.telemetry import meters
from proxy.telemetry.gauges import Look
from runtime.settings import Listen

log = structlog.get_logger("farebox.listeners")

# Connections that the system has accepted and we have not yet; clients come in bursts.
_BACKLOG = 1024


async def listen(
    stack: AsyncExitStack,
    settings: Listen,
    table: Table,
    admin_table: Table,
    drain: Drain,
    *,
    reuse_port: bool,
    looks: list[Look] | None = None,
) -> "Listeners":
    """At the public address, and for administrators where `settings.admin` says. `stack` drains and closes.

    `looks` gets what counts the connections (see runtime.metrics.book). Raises StartError.
    """
    listeners = Listeners(settings, drain, reuse_port)
    stack.push_async_callback(listeners.close)
    if looks is not None:
        looks.append(listeners.count_connections)
    if settings.admin is not None:
        where = settings.admin.host, settings.admin.port
        address = await listeners.open("listen.admin", *where, admin_table, is_public=False)
        log.info("serving_admin", address=address)
    listeners.address = await listeners.open("listen", settings.host, settings.port, table)
    return listeners


class Listeners:
    """`address`: the public one."""

    def __init__(self, settings: Listen, drain: Drain, reuse_port: bool) -> None:
        self.address = ""
        self._settings = settings
        self._drain = drain
        self._reuse_port = reuse_port
        self._servers: list[tuple[HttpServer, asyncio.Server]] = []

    def exchange(self, settings: Listen, table: Table, admin_table: Table, in_flight: InFlight) -> None:
        """Other routes and other limits, at the same addresses; what runs is not touched."""
        self._settings = settings
        *admin, (public, _) = self._servers
        public.exchange(table, settings, in_flight)
        for server, _ in admin:
            server.exchange(admin_table, settings, in_flight)

    async def open(self, setting: str, host: str, port: int, table: Table, *, is_public: bool = True) -> str:
        """The address that is listened at; `setting` names what in the configuration said so."""
        http = HttpServer(table, self._settings, self._drain, is_public=is_public)
        loop = asyncio.get_running_loop()
        try:
            listening = await loop.create_server(
                http, host, port, backlog=_BACKLOG, reuse_port=self._reuse_port or None
            )
        except OSError as error:
            raise StartError(f"{setting}: cannot listen on {host} port {port} ({error.strerror or error})") from error
        self._servers.append((http, listening))
        found_host, found_port = listening.sockets[0].getsockname()[:2]
        return f"http://{f'[{found_host}]' if ':' in str(found_host) else found_host}:{found_port}"

    def count_connections(self) -> None:
        meters.CONNECTIONS.put(sum(len(http) for http, _ in self._servers))

    async def close(self) -> None:
        """First whoever sends requests here is given time to stop; then nobody new is let in, anywhere; then what
        runs is waited for.
        """
        if self._drain.is_draining:  # else the start failed, and nobody was sent here yet
            await self._turn_away()
        for _, listening in self._servers:
            listening.close()
        await asyncio.gather(*(http.shutdown(self._settings.shutdown_timeout_s) for http, _ in self._servers))

    async def _turn_away(self) -> None:
        """`/readyz` says by now that we leave, and so does each answer; but all are answered."""
        for http, _ in self._servers:
            http.keep_nobody()
        await sleep(self._settings.shutdown_delay_s)
