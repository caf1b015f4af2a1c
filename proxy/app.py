"""The composition root: every part of a serving process is made here, in order, and closed in the reverse order."""

import asyncio
import gc
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import structlog
from aiohttp import web

from accounts.key_format import KeyFormat
from accounts.prices import read_sheet
from accounts.request_usage import RequestUsages
from metering.admission import Limits
from proxy.account_api import open_account_api
from proxy.backends import StartError, in_short, open_backends
from proxy.callers import Callers
from proxy.drain import Drain
from proxy.gateway import Gateway
from proxy.health import Health
from proxy.keys import KeyVerifier
from proxy.listeners import listen
from proxy.models import ModelList
from proxy.prices import PriceBook, price_listener
from proxy.routing import Route, Routes
from proxy.upstream.pool import PoolLimits, UpstreamPool, parse_origin
from proxy.usage_lookup import UsageLookup
from runtime.postgres import Pool
from runtime.settings import Config, Upstream
from runtime.tasks import TaskSet

log = structlog.get_logger("farebox.app")

# Settlements on their way to Redis when the last request has ended.
_SETTLE_DRAIN_S = 10.0


@asynccontextmanager
async def serving(config: Config, *, reuse_port: bool = False) -> AsyncIterator[str]:
    """A serving process, ready when entered; yields its address. On leaving: drained, settled, closed."""
    async with AsyncExitStack() as stack:
        backends = await stack.enter_async_context(open_backends(config, "farebox-proxy"))
        tasks = TaskSet()
        stack.push_async_callback(tasks.cancel)
        prices = await _load_prices(backends.pool)
        tasks.spawn(prices.keep_fresh(), name="prices")
        listener = price_listener(config.database.url.get_secret_value(), prices)
        tasks.spawn(listener.run(asyncio.Event()), name="price-listener")
        limits = Limits(backends.redis, backends.mirror)
        stack.push_async_callback(_drain, limits)
        routes = Routes([_route(upstream) for upstream in config.upstreams])
        stack.push_async_callback(routes.close)
        verifier = KeyVerifier(
            backends.redis,
            backends.store,
            KeyFormat(config.keys.prefix),
            config.keys.pepper.get_secret_value().encode(),
        )
        stack.push_async_callback(verifier.close)
        drain = Drain()
        health = Health(backends.redis, prices, drain)
        gateway = Gateway(verifier, limits, prices, routes, config.listen, drain)
        callers = Callers(verifier, limits, config.listen.trusted_proxies)
        lookup = UsageLookup(callers, RequestUsages(backends.pool))
        table = route_table(gateway, ModelList(callers, prices, routes), lookup, health)
        accounts = await open_account_api(stack, config, backends)
        admin_table = accounts.admin | health_table(health)
        address = await listen(stack, config.listen, table | accounts.public, admin_table, drain, reuse_port=reuse_port)
        _settle_garbage_collection()
        log.info("serving", address=address)
        yield address
        drain.is_draining = True


def health_table(health: Health) -> dict[tuple[str, str], Callable[..., Awaitable[web.StreamResponse]]]:
    """At every port."""
    return {("GET", "/healthz"): health.live, ("GET", "/readyz"): health.ready}


def route_table(
    gateway: Gateway, models: ModelList, lookup: UsageLookup, health: Health
) -> dict[tuple[str, str], Callable[..., Awaitable[web.StreamResponse]]]:
    """Every path that is answered; gateway paths stand under `/v1` and `/api/v1` alike."""
    table: dict[tuple[str, str], Callable[..., Awaitable[web.StreamResponse]]] = health_table(health)
    for base in ("/v1", "/api/v1"):
        table["POST", f"{base}/chat/completions"] = gateway.chat_completions
        table["GET", f"{base}/models"] = models.list
        table["GET", f"{base}/models/{{id}}"] = models.one
        table["GET", f"{base}/usage/{{request_id}}"] = lookup.show
    return table


def _settle_garbage_collection() -> None:
    """What was made at the start stays: it need not be looked through again at every collection.

    A request makes a few hundred objects, freed by count as it ends; at the default threshold of 700 the collector
    runs every other request and finds nothing.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_COLLECT_AFTER_OBJECTS, 10, 10)


_COLLECT_AFTER_OBJECTS = 50_000


async def _load_prices(pool: Pool) -> PriceBook:
    prices = PriceBook(lambda: read_sheet(pool))
    try:
        await prices.refresh()
    except Exception as error:
        raise StartError(
            f"database.url: the prices cannot be read; is the schema there? run `farebox migrate` ({in_short(error)})"
        ) from error
    return prices


def _route(upstream: Upstream) -> Route:
    limits = PoolLimits(
        connect_s=upstream.connect_timeout_s,
        first_byte_s=upstream.first_byte_timeout_s,
        idle_s=upstream.idle_timeout_s,
        keep_alive_s=upstream.keep_alive_s,
        max_connections=upstream.max_connections,
    )
    return Route(upstream, UpstreamPool(parse_origin(upstream.url), limits))


async def _drain(limits: Limits) -> None:
    left = await limits.drain(_SETTLE_DRAIN_S)
    if left:
        log.error("settlements_lost", count=left)


def stop_event() -> asyncio.Event:
    """Set by SIGINT or SIGTERM."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    return stop
