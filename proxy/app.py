"""The composition root: every part of a serving process is made here, in order, and closed in the reverse order."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import structlog

from accounts.prices import read_sheet
from proxy.account_api import open_account_api
from proxy.backends import in_short, open_backends
from proxy.drain import Drain
from proxy.gateway_api import RouteTable, open_gateway
from proxy.health import Health
from proxy.listeners import listen
from proxy.meters import PROXY
from proxy.metrics_api import open_metrics, with_metrics
from proxy.prices import PriceBook, price_listener
from proxy.starting import StartError
from runtime.garbage import collect_rarely
from runtime.postgres import Pool
from runtime.service_manager import READY, STOPPING, tell
from runtime.settings import Config
from runtime.tasks import TaskSet

log = structlog.get_logger("farebox.app")


@asynccontextmanager
async def serving(config: Config, *, reuse_port: bool = False, metrics_slot: Path | None = None) -> AsyncIterator[str]:
    """A serving process, ready when entered; yields its address. On leaving: drained, settled, closed.

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
        health = Health(backends.redis, prices, drain)
        metrics = open_metrics(tasks, config, backends, PROXY, metrics_slot)
        looks = metrics.book.looks
        table = health_table(health) | await open_gateway(stack, config, backends, prices, drain, looks)
        accounts = await open_account_api(stack, config, backends)
        tables = with_metrics(metrics, config.listen, table | accounts.public, accounts.admin | health_table(health))
        address = await listen(stack, config.listen, *tables, drain, reuse_port=reuse_port, looks=looks)
        collect_rarely(shortly=True)
        log.info("serving", address=address)
        tell(READY)
        yield address
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
