"""Refunds of requests: never more than was debited, however many are made at once.

All of it happens under the wallet's lock, under which debits are posted too.
"""

from uuid import UUID

from accounts.errors import RefundTooLarge, RequestNotFound
from ledger.money import format_dollars, from_decimal
from runtime.postgres import Connection
from runtime.sql import load_queries

_QUERIES = load_queries("accounts", "sql/admin_acts.sql")


async def must_be_refundable(connection: Connection, user_id: UUID, request_id: UUID, amount_nanos: int) -> None:
    """Raises RequestNotFound or RefundTooLarge. The caller has locked the user's wallet."""
    row = await connection.fetchrow(_QUERIES["refundable"], user_id, request_id)
    assert row is not None, "a SELECT without FROM has one row"
    debited, refunded = from_decimal(row["debited"]), from_decimal(row["refunded"])
    # usage may have been thrown away after some years; what was debited stays
    if not row["is_theirs"] and not debited:
        raise RequestNotFound("this user has no such request, or it is not posted yet")
    check_refund(debited, refunded, amount_nanos)


async def keep_refund(connection: Connection, transaction_id: UUID, request_id: UUID) -> None:
    """Notes which request a refund is for, so that the next one finds it."""
    await connection.execute(_QUERIES["keep_refund"], transaction_id, request_id)


def check_refund(debited_nanos: int, refunded_nanos: int, amount_nanos: int) -> None:
    """Raises RefundTooLarge if the amount is more than what is left of the debit."""
    left_nanos = debited_nanos - refunded_nanos
    if amount_nanos > left_nanos:
        raise RefundTooLarge(
            f"{format_dollars(debited_nanos)} dollars were debited for this request, "
            f"of which {format_dollars(left_nanos)} can still be given back"
        )
