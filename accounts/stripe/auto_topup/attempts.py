"""Attempts to charge a saved card: what is committed before Stripe is asked, and after.

The functions work inside the caller's transaction. Locks are taken in this order: the attempt, then its wallet's plan;
whoever books money has locked the payment intent and the wallet before that.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from accounts.notices.outbox import announce
from accounts.stripe.auto_topup.rules import Charge, Limits, Plan, Standing, Stop, next_charge
from ledger.money import format_dollars, from_decimal, to_decimal
from runtime.postgres import Connection, Pool
from runtime.sql import load_queries

QUERIES = load_queries("accounts", "sql/auto_topup.sql")
# For how long whoever asks about an attempt has it to itself: longer than all that it may ask, with the SDK's retries.
ASKING_S = 120


@dataclass(frozen=True, slots=True)
class Attempt:
    """`asked` counts the times that Stripe was asked, this one among them; `age_s` is by the database's clock."""

    id: UUID
    wallet_id: UUID
    user_id: UUID
    amount_nanos: int
    customer_id: str
    payment_method_id: str
    asked: int
    created_at: datetime
    age_s: float


class Attempts:
    """Of one mode: `is_live` None where ours is not known. Raises runtime.postgres.UNAVAILABLE."""

    def __init__(self, pool: Pool, is_live: bool | None, limits: Limits) -> None:
        self._pool = pool
        self._is_live = is_live
        self._limits = limits

    async def begin(self, most: int) -> list[Attempt]:
        """Commits an attempt for each of at most so many wallets that are below their threshold."""
        cap = to_decimal(self._limits.max_monthly_cap_nanos)
        async with self._pool.acquire() as connection, connection.transaction(isolation="read_committed"):
            due = await connection.fetch(QUERIES["due"], self._is_live, most, cap)
            begun = [await self._begin(connection, row) for row in due]
        return [attempt for attempt in begun if attempt is not None]

    async def _begin(self, connection: Connection, row: Any) -> Attempt | None:
        standing = await connection.fetchrow(QUERIES["standing"], row["wallet_id"], row["is_live"])
        assert standing is not None, "wallets are not deleted"
        match next_charge(_as_plan(row), _as_standing(standing), self._limits):
            case Charge(amount):
                about = (row["customer_id"], row["payment_method_id"], row["is_live"])
                wallet = (row["wallet_id"], row["user_id"])
                made = await connection.fetchrow(QUERIES["begin"], *wallet, to_decimal(amount), *about, ASKING_S)
                return None if made is None else _as_attempt(made)
            case Stop(reason):
                await stop(connection, row["wallet_id"], reason)
                return None
            case None:
                return None

    async def take_open(self, most: int) -> list[Attempt]:
        """At most so many attempts whose end nobody knows, for this process to ask about."""
        found = await self._pool.fetch(QUERIES["take_open"], self._is_live, ASKING_S, most)
        return [_as_attempt(row) for row in found]

    async def ask_later(self, attempt_id: UUID, wait_s: int, payment_intent_id: str | None) -> None:
        await self._pool.execute(QUERIES["ask_later"], attempt_id, float(wait_s), payment_intent_id)

    async def fail(
        self, attempt_id: UUID, payment_intent_id: str | None, reason: str, *, is_certain: bool = True
    ) -> bool:
        """In a transaction of its own, see below."""
        status: EndedWithout = "failed" if is_certain else "abandoned"
        async with self._pool.acquire() as connection, connection.transaction():
            return await fail(connection, attempt_id, payment_intent_id, reason, status)


EndedWithout = Literal["failed", "abandoned"]


async def fail(
    connection: Connection,
    attempt_id: UUID,
    payment_intent_id: str | None,
    reason: str,
    status: EndedWithout = "failed",
) -> bool:
    """Ends an attempt without money, and its wallet's auto top-up with it; False if it had ended before."""
    row = await connection.fetchrow(QUERIES["fail"], attempt_id, payment_intent_id, reason, status)
    if row is None:
        return False
    await stop(connection, row["wallet_id"], reason)
    facts = {"amount": format_dollars(from_decimal(row["amount"])), "source": "auto_topup", "reason": reason}
    await announce(connection, "topup.failed", row["user_id"], facts, once=f"auto-topup-failed-{attempt_id}")
    return True


async def succeed(connection: Connection, attempt_id: UUID, wallet_id: UUID, payment_intent_id: str) -> None:
    """The money of an attempt is being booked, in this transaction."""
    await connection.execute(QUERIES["succeed"], attempt_id, payment_intent_id, wallet_id)


async def stop(connection: Connection, wallet_id: UUID, reason: str) -> None:
    await connection.execute(QUERIES["stop"], wallet_id, reason)


async def is_auto_topup(connection: Connection, payment_intent_id: str) -> bool:
    found: bool = await connection.fetchval(QUERIES["is_auto_topup"], payment_intent_id)
    return found


def _as_plan(row: Any) -> Plan:
    return Plan(*_nanos(row, ("threshold", "amount", "monthly_cap")))


def _as_standing(row: Any) -> Standing:
    balance, charged = _nanos(row, ("balance", "charged"))
    return Standing(balance, charged, row["is_charging"], row["is_frozen"])


def _as_attempt(row: Any) -> Attempt:
    fields: Mapping[str, Any] = dict(row)
    (amount,) = _nanos(row, ("amount",))
    return Attempt(amount_nanos=amount, **{name: value for name, value in fields.items() if name != "amount"})


def _nanos(row: Any, names: Iterable[str]) -> list[int]:
    return [from_decimal(row[name]) for name in names]
