"""The upstreams of a serving process, opened as they are configured: ways to connect, pools, health checks.

And closed, when the configuration has changed and nothing runs on them any more.
"""

import asyncio
import os
import ssl
from collections.abc import Iterable, Mapping
from contextlib import AsyncExitStack
from dataclasses import replace

from proxy.health_checks import HealthChecks
from proxy.process.starting import StartError
from proxy.routing import Route, Routes
from proxy.upstream.dialing import Dialer
from proxy.upstream.pool import PoolLimits, UpstreamPool
from proxy.upstream.proxies import proxy_for
from proxy.upstream.request import Origin, parse_origin
from proxy.upstream.tls import TlsFileError, context_of
from runtime.settings import Config, HealthCheck, Upstream
from runtime.tasks import TaskSet

# A check waits for nobody: there is one at a time.
_CHECK_CONNECTIONS = 1


class RoutesInUse:
    """What requests run on: the routes of the newest configuration, and older ones until their last request ends.

    An upstream that is configured as before is the same one still, with its connections, its queue, and what is held
    against it.
    """

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        self._environ = environ
        self._sets: list[Routes] = []
        self._open: dict[Route, AsyncExitStack] = {}

    @property
    def newest(self) -> tuple[Route, ...]:
        return self._sets[-1].all if self._sets else ()

    async def open(self, config: Config) -> Routes:
        """Raises StartError, naming the setting; nothing has changed then."""
        known = {route.settings.name: route for route in self.newest}
        fresh: dict[Route, AsyncExitStack] = {}
        routes = []
        try:
            for place, upstream in enumerate(config.upstreams):
                route = known.get(upstream.name)
                if route is None or route.settings != upstream:
                    route, stack = open_route(upstream, f"upstreams.{place}", self._environ)
                    fresh[route] = stack
                routes.append(route)
        except BaseException:
            await _close_all(fresh.values())
            raise
        self._open |= fresh
        self._sets.append(Routes(routes, config.models))
        return self._sets[-1]

    async def retire(self, routes: Routes) -> None:
        """Nothing runs on it any more; what others share with it stays open."""
        self._sets.remove(routes)
        kept = {route for each in self._sets for route in each.all}
        await _close_all([self._open.pop(route) for route in routes.all if route not in kept])

    async def close(self) -> None:
        await _close_all(self._open.values())


async def _close_all(stacks: Iterable[AsyncExitStack]) -> None:
    await asyncio.gather(*(stack.aclose() for stack in stacks))


def open_route(upstream: Upstream, setting: str, environ: Mapping[str, str]) -> tuple[Route, AsyncExitStack]:
    """And what closes it. Raises StartError; `setting` names what in the configuration said so."""
    stack, checks = AsyncExitStack(), TaskSet()
    origin, tls = _origin(upstream, environ, setting), _context(upstream, setting)
    route = Route(upstream, _pool(upstream, origin, tls, _limits(upstream)))
    stack.push_async_callback(route.pool.close)
    if upstream.health is not None:
        checking = _pool(upstream, origin, tls, _limits_of_checks(upstream.health))
        stack.push_async_callback(checking.close)
        checks.spawn(HealthChecks(route, upstream.health, checking).run(), name=f"health-{upstream.name}")
    stack.push_async_callback(checks.cancel)
    return route, stack


def _origin(upstream: Upstream, environ: Mapping[str, str], setting: str) -> Origin:
    try:
        origin = parse_origin(upstream.url)
    except ValueError as error:
        raise StartError(f"{setting}.url: {error}") from None
    if upstream.unix_socket is not None:
        return replace(origin, unix_socket=str(upstream.unix_socket))
    if upstream.proxy == "none":
        return origin
    try:
        return replace(origin, proxy=proxy_for(origin, environ))
    except ValueError as error:
        raise StartError(f"{setting}.proxy: {error}") from None


def _context(upstream: Upstream, setting: str) -> ssl.SSLContext | None:
    if not upstream.is_tls:
        return None
    try:
        return context_of(upstream.tls)
    except TlsFileError as error:
        raise StartError(f"{setting}.tls.{error}") from None


def _pool(upstream: Upstream, origin: Origin, tls: ssl.SSLContext | None, limits: PoolLimits) -> UpstreamPool:
    return UpstreamPool(origin, limits, tls=tls, connect=Dialer(limits.connect_s, upstream.tls.server_name))


def _limits(upstream: Upstream) -> PoolLimits:
    return PoolLimits(
        connect_s=upstream.connect_timeout_s,
        acquire_s=upstream.queue_timeout_s,
        first_byte_s=upstream.first_byte_timeout_s,
        idle_s=upstream.idle_timeout_s,
        keep_alive_s=upstream.keep_alive_s,
        max_age_s=upstream.max_connection_age_s,
        max_connections=upstream.max_connections,
        max_waiting=upstream.max_waiting,
    )


def _limits_of_checks(health: HealthCheck) -> PoolLimits:
    wait_s = health.timeout_s
    return PoolLimits(connect_s=wait_s, first_byte_s=wait_s, idle_s=wait_s, max_connections=_CHECK_CONNECTIONS)
