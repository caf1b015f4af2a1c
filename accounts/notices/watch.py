"""Looks at the wallets that changed, and announces those that have become low or empty.

What was said of a wallet stands in its row of farebox_balance_watch, written in the transaction that announces. So any
number of processes may look, and each fall is announced once; and a process that dies between two looks loses nothing:
the next one's first look is at every wallet.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import structlog

from accounts.notices.balance_rule import Level, Look, judge
from accounts.notices.outbox import EventKind, announce
from ledger.money import format_dollars, from_decimal
from runtime.postgres import Connection, Pool
from runtime.sql import load_queries

log = structlog.get_logger("farebox.notices")

_QUERIES = load_queries("accounts", "sql/balance_watch.sql")

# A mail need not be faster. With 100,000 wallets a look takes Postgres 10 ms, one at all of them 130 ms
# (benchmarks/balance_watch.py).
INTERVAL_S = 5.0
# A change is committed some time after the moment it carries; no transaction of ours lasts nearly as long.
OVERLAP = timedelta(seconds=60)
# In between, all wallets: for what an operator's own SQL changed in a transaction that took longer.
COMPLETE_EVERY = timedelta(hours=1)
_PAGE = 2000
_FIRST_ID = UUID(int=0)
_EVER = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class _Found:
    wallet_id: UUID
    user_id: UUID
    level: Level
    says: EventKind | None
    balance_nanos: int
    threshold_nanos: int
    seq: int


class BalanceWatch:
    """`threshold` is for users who have set none of their own. Raises runtime.postgres.UNAVAILABLE."""

    def __init__(self, pool: Pool, threshold: Decimal) -> None:
        self._pool = pool
        self._threshold = threshold
        self._since = _EVER
        self._completed_at = _EVER

    async def look(self) -> float | None:
        """One round over what changed since the last; see runtime.periodic.Round."""
        began: datetime = await self._pool.fetchval(_QUERIES["now"])
        is_complete = began - self._completed_at >= COMPLETE_EVERY
        announced = await self._look_through(_EVER if is_complete else self._since)
        self._since = began - OVERLAP
        if is_complete:
            self._completed_at = began
        if announced:
            log.info("balances_announced", count=announced)
        return None

    async def _look_through(self, since: datetime) -> int:
        announced, after = 0, _FIRST_ID
        while True:
            rows = await self._pool.fetch(_QUERIES["candidates"], since, after, self._threshold, _PAGE)
            if rows:
                announced += await self._judge_page([row["id"] for row in rows])
            if len(rows) < _PAGE:
                return announced
            after = rows[-1]["id"]

    async def _judge_page(self, wallet_ids: Sequence[UUID]) -> int:
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.execute(_QUERIES["begin"], wallet_ids)
            await connection.execute(_QUERIES["lock"], wallet_ids)
            rows = await connection.fetch(_QUERIES["looks"], wallet_ids, self._threshold)
            found = [_judged(row) for row in rows if row["is_new"] or row["level"] == "ok"]
            await _keep(connection, found)
            saying = [one for one in found if one.says is not None]
            for one in saying:
                await _say(connection, one)
        return len(saying)


def _judged(row: Any) -> _Found:
    balance, threshold = from_decimal(row["balance"]), from_decimal(row["threshold"])
    level, says = judge(Look(row["level"], balance, threshold, _nanos(row["peak"]), _nanos(row["topup_peak"])))
    return _Found(row["id"], row["user_id"], level, says, balance, threshold, row["transaction_count"])


def _nanos(dollars: Decimal | None) -> int | None:
    return None if dollars is None else from_decimal(dollars)


async def _keep(connection: Connection, found: Sequence[_Found]) -> None:
    await connection.execute(
        _QUERIES["seen"],
        [one.wallet_id for one in found],
        [one.level for one in found],
        [Decimal(format_dollars(one.threshold_nanos)) for one in found],
        [one.seq for one in found],
    )


async def _say(connection: Connection, found: _Found) -> None:
    assert found.says is not None
    facts = {
        "wallet_id": found.wallet_id,
        "balance": format_dollars(found.balance_nanos),
        "threshold": format_dollars(found.threshold_nanos),
        "currency": "USD",
    }
    once = f"{found.says}:{found.wallet_id}:{found.seq}"
    await announce(connection, found.says, found.user_id, facts, once=once)
