"""Deliveries in Postgres: decided, claimed under a lease, finished, tried again, given up, thrown away.

Any number of processes may work on them. A claim is a lease: whoever dies with one leaves it to the others once it has
lapsed. The number of the attempt goes with a claim, so a process that was frozen for longer than its lease changes
nothing any more. What was sent and not noted is sent again: at least once, by design.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import orjson

from accounts.notices.retry import RetryPolicy
from accounts.notices.signing import Event
from runtime.postgres import Pool
from runtime.settings import Notices
from runtime.sql import load_queries

_QUERIES = load_queries("accounts", "sql/deliveries.sql")

EMAIL = "email"
# Longer than an attempt may take (15 s) and its outcome takes to be noted.
LEASE = timedelta(seconds=60)
# Of one statement that decides, gives up or throws away.
_BATCH = 500
_MAX_REASON_CHARS = 100


@dataclass(frozen=True, slots=True)
class Claim:
    """One delivery, ours for LEASE. `attempt` counts from 1; `age_s` is since it was decided, or replayed."""

    delivery_id: int
    attempt: int
    age_s: float
    event: Event


class Deliveries:
    """All methods raise runtime.postgres.UNAVAILABLE while Postgres is away."""

    def __init__(self, pool: Pool, policy: RetryPolicy, lease: timedelta = LEASE) -> None:
        self._pool = pool
        self._policy = policy
        self._lease = lease

    async def dispatch(self, wanted: Iterable[tuple[str, str]], has_mail: bool, mails_per_day: int) -> int:
        """Decides who is told of new events; `wanted` are channels and the kinds they want. How many were decided."""
        pairs = list(wanted)
        channels, kinds = [channel for channel, _ in pairs], [kind for _, kind in pairs]
        decided: int = await self._pool.fetchval(
            _QUERIES["dispatch"], channels, kinds, has_mail, mails_per_day, _BATCH
        )  # fmt: skip
        return decided

    async def claim(self, channel: str, limit: int) -> Sequence[Claim]:
        """Those that are due, at most `limit` of them, in no order."""
        rows = await self._pool.fetch(
            _QUERIES["claim"], channel, limit, self._lease, self._policy.max_attempts
        )  # fmt: skip
        return [Claim(row["delivery_id"], row["attempts"], row["age_s"], event_of(row)) for row in rows]

    async def address(self, event: Event) -> str | None:
        """Where its owner's mail goes at this moment; None: nowhere."""
        found: str | None = await self._pool.fetchval(_QUERIES["address"], event.user_id, event.kind)
        return found

    async def delivered(self, claim: Claim) -> None:
        await self._pool.execute(_QUERIES["delivered"], claim.delivery_id, claim.attempt)

    async def again(self, claim: Claim, wait_s: float, reason: str) -> None:
        wait = timedelta(seconds=wait_s)
        await self._pool.execute(
            _QUERIES["again"], claim.delivery_id, claim.attempt, wait, reason[:_MAX_REASON_CHARS]
        )  # fmt: skip

    async def bury(self, claim: Claim, reason: str) -> None:
        await self._pool.execute(_QUERIES["bury"], claim.delivery_id, claim.attempt, reason[:_MAX_REASON_CHARS])

    async def tidy(self, settings: Notices) -> bool:
        """Gives up what nobody will, throws away what is old; says whether there may be more of it."""
        keep, keep_dead = timedelta(days=settings.keep_days), timedelta(days=settings.keep_dead_days)
        done = [
            await self._pool.execute(
                _QUERIES["bury_stale"], self._policy.max_attempts, timedelta(seconds=self._policy.max_age_s), _BATCH
            ),
            await self._pool.execute(_QUERIES["prune_deliveries"], "delivered", keep, _BATCH),
            await self._pool.execute(_QUERIES["prune_deliveries"], "dead", keep_dead, _BATCH),
            await self._pool.execute(_QUERIES["prune_events"], keep, _BATCH),
        ]
        return any(status.endswith(f" {_BATCH}") for status in done)


def event_of(row: Any) -> Event:
    return Event(row["id"], row["kind"], row["user_id"], orjson.loads(row["facts"]), row["created_at"])
