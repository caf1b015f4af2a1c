"""What Stripe told us and nothing was done about is forgotten after a while, a little at a time.

An event that is forgotten and delivered once more does no harm: payments, claims and attempts are known by ids of their
own. Stripe delivers by itself for three days, and by hand for thirty.
"""

import structlog

from runtime.periodic import Job, every
from runtime.postgres import FAILED, Pool
from runtime.sql import load_queries

log = structlog.get_logger("farebox.stripe")

_QUERIES = load_queries("accounts", "sql/stripe.sql")
# Few enough that a batch is done within a fraction of a second.
BATCH = 1000
_INTERVAL_S = 3600.0


class Pruning:
    def __init__(self, pool: Pool, keep_days: int) -> None:
        self._pool = pool
        self._keep_days = keep_days

    def job(self) -> Job:
        return every(_INTERVAL_S, self.round, name="stripe-pruning", failures=FAILED)

    async def round(self) -> float | None:
        """One batch of each; at once again where there may be more."""
        done = [await self._prune(query) for query in ("prune_events", "prune_claims")]
        if total := sum(done):
            log.info("stripe_events_pruned", count=total)
        return 0.0 if BATCH in done else None

    async def _prune(self, query: str) -> int:
        status = await self._pool.execute(_QUERIES[query], self._keep_days, BATCH)
        return int(status.removeprefix("DELETE "))
