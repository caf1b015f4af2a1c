"""The upstreams of a serving process, opened as they are configured: ways to connect, pools, health checks."""

import os
import ssl
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import replace

from proxy.health_checks import HealthChecks
from proxy.routing import Route, Routes
from proxy.starting import StartError
from proxy.upstream.dialing import Dialer
from proxy.upstream.pool import PoolLimits, UpstreamPool
from proxy.upstream.proxies import proxy_for
from proxy.upstream.request import Origin, parse_origin
from proxy.upstream.tls import TlsFileError, context_of
from runtime.settings import Config, HealthCheck, Upstream
from runtime.tasks import TaskSet

# A check waits for nobody: there is one at a time.
_CHECK_CONNECTIONS = 1


async def open_routes(stack: AsyncExitStack, config: Config, environ: Mapping[str, str] = os.environ) -> Routes:
    """Raises StartError, naming the setting."""
    routes, checks = [], TaskSet()
    for place, upstream in enumerate(config.upstreams):
        setting = f"upstreams.{place}"
        origin, tls = _origin(upstream, environ, setting), _context(upstream, setting)
        route = Route(upstream, _pool(upstream, origin, tls, _limits(upstream)))
        stack.push_async_callback(route.pool.close)
        routes.append(route)
        if upstream.health is not None:
            checking = _pool(upstream, origin, tls, _limits_of_checks(upstream.health))
            stack.push_async_callback(checking.close)
            checks.spawn(HealthChecks(route, upstream.health, checking).run(), name=f"health-{upstream.name}")
    stack.push_async_callback(checks.cancel)
    return Routes(routes, config.models)


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
