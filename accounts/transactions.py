"""The lines of a user's wallet: a page of them, or all as CSV."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from accounts.csv_lines import Cell, Number
from accounts.cursors import Listing, Position
from accounts.filters import Filter
from accounts.pages import DEFAULT_LIMIT, Page, Paged
from ledger.money import format_dollars, from_decimal
from runtime.postgres import Pool
from runtime.sql import load_queries

QUERIES = load_queries("accounts", "sql/account_view.sql")
COLUMNS = ("created_at", "id", "type", "amount", "description", "balance_before", "balance_after", "request_id")
_MAX_SEQ = 2**63 - 1  # of a bigint; a cursor may say more


@dataclass(frozen=True, slots=True)
class TransactionRow:
    """Nano-dollars. `seq` counts the wallet's lines; `request_id` is what `usage` paid for or corrects."""

    id: UUID
    seq: int
    created_at: datetime
    type: str
    amount_nanos: int
    description: str
    balance_before_nanos: int
    balance_after_nanos: int
    request_id: UUID | None


class Transactions:
    """All methods raise InvalidRequest for bad input, runtime.postgres.UNAVAILABLE while Postgres is away."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def page(
        self, user_id: UUID, wanted: Filter, limit: int = DEFAULT_LIMIT, cursor: str | None = None
    ) -> Page[TransactionRow]:
        """Newest first. A model or a key asks for the usage of it: other lines have neither."""
        return await PAGED.page(self._pool, user_id, wanted, limit, cursor)

    def export(self, user_id: UUID, wanted: Filter) -> AsyncIterator[bytes]:
        """CSV, newest first; amounts in dollars."""
        return PAGED.export(self._pool, user_id, wanted)


def transaction_row(row: Any) -> TransactionRow:
    return TransactionRow(
        id=row["id"],
        seq=row["seq"],
        created_at=row["created_at"],
        type=row["type"],
        amount_nanos=from_decimal(row["amount"]),
        description=row["description"],
        balance_before_nanos=from_decimal(row["balance_before"]),
        balance_after_nanos=from_decimal(row["balance_after"]),
        request_id=row["request_id"],
    )


def cells(row: TransactionRow) -> tuple[Cell, ...]:
    """In the order of COLUMNS."""
    return (
        row.created_at,
        str(row.id),
        row.type,
        Number(format_dollars(row.amount_nanos)),
        row.description,
        Number(format_dollars(row.balance_before_nanos)),
        Number(format_dollars(row.balance_after_nanos)),
        None if row.request_id is None else str(row.request_id),
    )


# Lines of one batch may have one time; their numbers tell which came first.
PAGED = Paged(
    Listing.TRANSACTIONS, QUERIES["transactions"], transaction_row, COLUMNS, cells,
    place=lambda row: Position(row.created_at, row.seq), tie=lambda number: min(number, _MAX_SEQ),
)  # fmt: skip
