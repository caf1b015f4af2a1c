"""Metrics, wired: the book of a process, what keeps it, and where its page is served."""

from collections.abc import Iterable
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

import structlog

from proxy.backends import Backends
from proxy.drain import Drain
from proxy.health import live
from proxy.http.routes import Table
from proxy.listeners import listen
from proxy.telemetry import meters
from proxy.telemetry.metrics_page import MetricsPage
from runtime.metrics.book import Book
from runtime.metrics.common import COMMON, process_look, watch_loop
from runtime.metrics.series import Metric
from runtime.metrics.slots import Slot
from runtime.postgres import pool_look
from runtime.settings import Config, Listen
from runtime.tasks import TaskSet

log = structlog.get_logger("farebox.metrics")


def open_metrics(
    tasks: TaskSet, config: Config, backends: Backends, own: Iterable[Metric], slot_path: Path | None = None
) -> MetricsPage:
    """The page of this process, with `own` beside what every process has; `tasks` runs what measures meanwhile."""
    book = Book([*COMMON, *own])
    book.looks += [process_look(), partial(pool_look, backends.pool), meters.fold]
    meters.MODELS.most = config.metrics.max_models
    token = config.metrics.token.get_secret_value() if config.metrics.token is not None else None
    slot = None if slot_path is None else Slot(slot_path)
    max_events = config.holds.max_unposted_events
    page = MetricsPage(book, backends.redis, backends.shards, max_events, token, slot)
    tasks.spawn(watch_loop(), name="watch-loop")
    if slot is not None:
        before = slot.before()
        if before is not None:
            book.go_on_from(before)
        tasks.spawn(page.keep_slot(slot), name="metrics-slot")
    return page


def with_metrics(page: MetricsPage, listen_at: Listen, public: Table, admin: Table) -> tuple[Table, Table]:
    """Both tables: the page is in that of the administrators' port.

    And at the public one, for want of such a port, where that is for administrators too or a token keeps strangers off.
    """
    route: Table = {("GET", "/metrics"): page.show}
    is_public = listen_at.admin is None and (listen_at.admin_on_public_port or page.token is not None)
    return ({**public, **route} if is_public else public), {**admin, **route}


async def serve_ledger_metrics(stack: AsyncExitStack, config: Config, page: MetricsPage) -> None:
    """Where `metrics.ledger` says, or nowhere. Raises StartError."""
    wanted = config.metrics.ledger
    if wanted is None:
        return
    table: Table = {("GET", "/metrics"): page.show, ("GET", "/healthz"): live}
    listeners = await listen(stack, Listen(host=wanted.host, port=wanted.port), table, {}, Drain(), reuse_port=False)
    log.info("serving_metrics", address=listeners.address)
