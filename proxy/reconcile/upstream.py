"""Two readings of an upstream's counters, and what was billed between them."""

from collections.abc import Mapping
from dataclasses import dataclass

from redis.asyncio import Redis

from ledger.billed import billed_between
from ledger.posted import OnWait, Unposted, wait_posted
from metering.counters import grown
from metering.reconciliation import Bounds, Reconciliation, reconcile
from proxy.reconcile.snapshots import Snapshot, check_pair
from runtime.postgres import Pool


@dataclass(frozen=True, slots=True)
class Compared:
    """`unposted` is what was not in Postgres in time: with any of it, nothing is certain."""

    first: Snapshot
    second: Snapshot
    found: Reconciliation
    unposted: Unposted

    @property
    def is_within(self) -> bool:
        return self.found.is_within and self.unposted.is_nothing


async def compare(
    pool: Pool,
    redis: Redis,
    first: Snapshot,
    second: Snapshot,
    bounds: Bounds,
    *,
    slack_ms: int,
    wait_s: float,
    shards: int,
    same: Mapping[str, str],
    on_wait: OnWait,
) -> Compared:
    """Waits until the ledger has posted what had begun by the second reading, for `wait_s` at most.

    `slack_ms`: how far the clocks of the proxies may be from this one's. Raises ReconcileError,
    runtime.postgres.UNAVAILABLE, redis.RedisError.
    """
    check_pair(first, second)
    begin, end = first.window.widened(slack_ms), second.window.widened(slack_ms)
    unposted = await wait_posted(redis, end.ended_ms, wait_s, shards=shards, on_wait=on_wait)
    billed = await billed_between(pool, first.upstream, begin, end)
    growth = grown(first.pages, second.pages)
    found = reconcile(billed, growth, first.pages[0].dialect, bounds, same)
    return Compared(first, second, found, unposted)
