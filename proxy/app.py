"""The composition root: every part of a serving process is made here, in order, and closed in the reverse order."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import structlog

from accounts.prices import read_sheet
from proxy.backends import in_short, open_backends
from proxy.drain import Drain
from proxy.gateway_api import RouteTable, open_gateway
from proxy.health import Health
from proxy.metrics_api import open_metrics
from proxy.prices import PriceBook, price_listener
from proxy.process.starting import StartError
from proxy.surface import Base, Surface
from proxy.telemetry.gauges import GatewayLook
from proxy.telemetry.meters import PROXY
from runtime.garbage import collect_rarely
from runtime.heap import keep_freed
from runtime.postgres import Pool
from runtime.service_manager import READY, STOPPING, tell
from runtime.settings import Config
from runtime.tasks import TaskSet

log = structlog.get_logger("farebox.app")


@asynccontextmanager
async def serving(
    config: Config, *, reuse_port: bool = False, metrics_slot: Path | None = None
) -> AsyncIterator[Surface]:
    """A serving process, ready when entered; yields what it serves. On leaving: drained, settled, closed.

    `metrics_slot`: where its metrics meet those of the other workers on its port.
    """
    async with AsyncExitStack() as stack:
        backends = await stack.enter_async_context(open_backends(config, "farebox-proxy"))
        tasks = TaskSet()
        stack.push_async_callback(tasks.cancel)
        prices = await _load_prices(backends.pool)
        tasks.spawn(prices.keep_fresh(), name="prices")
        listener = price_listener(config.database.url.get_secret_value(), prices)
        tasks.spawn(listener.run(asyncio.Event()), name="price-listener")
        drain = Drain()
        health = health_table(Health(backends.redis, prices, drain))
        metrics = open_metrics(tasks, config, backends, PROXY, metrics_slot)
        parts = await open_gateway(stack, config, backends)
        max_bytes = config.spool.max_bytes
        look = GatewayLook(parts.limits, parts.routes, parts.verifier, parts.spool, max_bytes, prices, drain)
        metrics.book.looks.append(look)
        base = Base(backends, prices, drain, parts, metrics, health)
        surface = await Surface.open(stack, base, config, reuse_port=reuse_port)
        collect_rarely(shortly=True)
        keep_freed()
        log.info("serving", address=surface.address)
        tell(READY)
        yield surface
        tell(STOPPING)
        drain.is_draining = True


def health_table(health: Health) -> RouteTable:
    """At every port."""
    return {("GET", "/healthz"): health.live, ("GET", "/readyz"): health.ready}


async def _load_prices(pool: Pool) -> PriceBook:
    prices = PriceBook(lambda: read_sheet(pool))
    try:
        await prices.refresh()
    except Exception as error:
        raise StartError(
            f"database.url: the prices cannot be read; is the schema there? run `farebox migrate` ({in_short(error)})"
        ) from error
    return prices
