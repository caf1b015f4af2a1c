"""What is so in a proxy just now: looked up when somebody asks for metrics, so that no request pays for it."""

from collections.abc import Callable
from dataclasses import dataclass

from metering.admission import Limits
from proxy.drain import Drain
from proxy.keys.verifier import KeyVerifier
from proxy.opening import RoutesInUse
from proxy.prices import PriceBook
from proxy.telemetry import meters
from runtime.spool import Spool

Look = Callable[[], None]


@dataclass(frozen=True, slots=True)
class GatewayLook:
    """Puts the gateway's gauges."""

    limits: Limits
    routes: RoutesInUse
    verifier: KeyVerifier
    spool: Spool
    spool_max_bytes: int
    prices: PriceBook
    drain: Drain

    def __call__(self) -> None:
        meters.IN_FLIGHT.put(self.drain.in_flight)
        meters.PRICES.put(len(self.prices.models()))
        self._money()
        self._queues()
        self._upstreams()

    def _upstreams(self) -> None:
        """Of those that are configured now."""
        for gauge in (meters.UPSTREAMS, meters.UPSTREAMS_DOWN, meters.BREAKERS):
            gauge.values.clear()
        for shard, is_open in enumerate(self.limits.open_breakers()):
            meters.BREAKERS.put(int(is_open), (f"redis-{shard}",))
        for route in self.routes.newest:
            name, pool = route.settings.name, route.pool
            for state, count in (("active", pool.active), ("idle", pool.idle), ("waiting", pool.waiting)):
                meters.UPSTREAMS.put(count, (name, state))
            meters.BREAKERS.put(int(route.standing.is_open), (f"upstream-{name}",))
            meters.UPSTREAMS_DOWN.put(int(route.standing.is_down), (name,))

    def _money(self) -> None:
        open_leases = self.limits.leases.open_ones()
        meters.HOLDS.put(len(open_leases))
        meters.HELD.put(sum(lease.held_nanos for lease in open_leases))
        meters.SPOOL_BYTES.put(self.spool.size_bytes)
        meters.SPOOL_RECORDS.put(len(self.spool))
        meters.SPOOL_MAX.put(self.spool_max_bytes)

    def _queues(self) -> None:
        for queue, length in (self.limits.waiting() | self.verifier.waiting()).items():
            meters.QUEUES.put(length, (queue,))
