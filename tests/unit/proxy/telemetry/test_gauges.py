"""What is put when somebody asks for metrics."""

from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID

from metering.leases import Lease
from metering.pricing import PriceSheet
from proxy.drain import Drain
from proxy.prices import PriceBook
from proxy.telemetry import meters
from proxy.telemetry.gauges import GatewayLook
from runtime.metrics.book import Book
from tests.support.calls import price, route


def lease(held_nanos: int) -> Lease:
    return Lease(UUID(int=1), UUID(int=2), UUID(int=3), held_nanos, lambda: b"")


class Limits:
    leases = SimpleNamespace(open_ones=lambda: [lease(5), lease(7)])

    def open_breakers(self) -> list[bool]:
        return [False, True]

    def waiting(self) -> dict[str, int]:
        return {"admit": 3}


class Spool:
    size_bytes = 4096

    def __len__(self) -> int:
        return 6


async def test_the_gateways_gauges() -> None:
    async def read() -> PriceSheet:
        return PriceSheet([price(), price(model="other")])

    prices, drain = PriceBook(read), Drain()
    await prices.refresh()
    checks: Any = SimpleNamespace(waiting=lambda: {"key_checks": 1})
    limits, spool = cast(Any, Limits()), cast(Any, Spool())
    routes: Any = SimpleNamespace(newest=[route(name="gone"), route(name="main")])
    look = GatewayLook(limits, routes, checks, spool, 1 << 20, prices, drain)
    book = Book(meters.PROXY)
    book.looks.append(look)
    book.snapshot(0)
    routes.newest.pop(0)
    with drain:
        values = book.snapshot(0).values
    put = {name: cast(Any, rows) for name, rows in values.items() if rows and name not in ("farebox_added_seconds",)}
    assert put["farebox_requests_in_flight"] == {(): 1}
    assert (put["farebox_holds"], put["farebox_held_dollars"]) == ({(): 2}, {(): 12})
    assert put["farebox_queue_length"] == {("admit",): 3, ("key_checks",): 1}
    assert put["farebox_breaker_open"] == {("redis-0",): 0, ("redis-1",): 1, ("upstream-main",): 0}
    assert put["farebox_upstream_down"] == {("main",): 0}
    assert put["farebox_upstream_connections"] == {("main", s): 0 for s in ("active", "idle", "waiting")}
    assert (put["farebox_spool_bytes"], put["farebox_spool_records"]) == ({(): 4096}, {(): 6})
    assert (put["farebox_spool_max_bytes"], put["farebox_priced_models"]) == ({(): 1 << 20}, {(): 2})
