"""A user's requests: a page of them, all as CSV, and what they come to."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from accounts.as_user import as_user
from accounts.csv_lines import Cell, Number
from accounts.cursors import Listing, Position
from accounts.filters import Filter
from accounts.pages import DEFAULT_LIMIT, Page, Paged
from accounts.statistics import UsageBreakdown, UsageStatistics, read_breakdown, read_statistics
from ledger.money import format_dollars, from_decimal
from runtime.postgres import Pool
from runtime.sql import load_queries

_QUERIES = load_queries("accounts", "sql/account_view.sql")
_COUNTS = (
    "input_tokens",
    "cached_input_tokens",
    "cache_write_tokens",
    "output_tokens",
    "reasoning_tokens",
    "audio_input_tokens",
    "audio_output_tokens",
    "total_tokens",
    "images",
    "audio_ms",
)
COLUMNS = (
    "created_at", "id", "api_key_id", "model", "endpoint", *_COUNTS,
    "cost", "uncollected", "usage_source", "end_reason", "status_code", "response_time_ms", "error_message",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class UsageRow:
    """One request. The token buckets are disjoint; `uncollected_nanos` is what the wallet could not pay of the cost."""

    id: UUID
    created_at: datetime
    api_key_id: UUID
    model: str
    endpoint: str
    input_tokens: int
    cached_input_tokens: int
    cache_write_tokens: int
    output_tokens: int
    reasoning_tokens: int
    audio_input_tokens: int
    audio_output_tokens: int
    total_tokens: int
    images: int
    audio_ms: int
    cost_nanos: int
    uncollected_nanos: int
    usage_source: str
    end_reason: str
    status_code: int
    response_time_ms: int
    error_message: str | None


class Usage:
    """All methods raise InvalidRequest for bad input, runtime.postgres.UNAVAILABLE while Postgres is away."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def page(
        self, user_id: UUID, wanted: Filter, limit: int = DEFAULT_LIMIT, cursor: str | None = None
    ) -> Page[UsageRow]:
        """Newest first, by when a request was admitted."""
        return await _PAGED.page(self._pool, user_id, wanted, limit, cursor)

    async def statistics(self, user_id: UUID, wanted: Filter) -> UsageStatistics:
        """Requests, tokens and cost, altogether and by model."""
        async with as_user(self._pool, user_id) as connection:
            return await read_statistics(connection, user_id, wanted)

    async def breakdown(self, user_id: UUID, wanted: Filter) -> UsageBreakdown:
        """Requests, tokens and cost, altogether, by model, by key and by day."""
        async with as_user(self._pool, user_id) as connection:
            return await read_breakdown(connection, user_id, wanted)

    def export(self, user_id: UUID, wanted: Filter) -> AsyncIterator[bytes]:
        """CSV, newest first; costs in dollars."""
        return _PAGED.export(self._pool, user_id, wanted)


def usage_row(row: Any) -> UsageRow:
    fields = dict(row)
    cost, uncollected = fields.pop("cost"), fields.pop("uncollected")
    return UsageRow(**fields, cost_nanos=from_decimal(cost), uncollected_nanos=from_decimal(uncollected))


def cells(row: UsageRow) -> tuple[Cell, ...]:
    """In the order of COLUMNS."""
    return (
        row.created_at,
        str(row.id),
        str(row.api_key_id),
        row.model,
        row.endpoint,
        *(getattr(row, name) for name in _COUNTS),
        Number(format_dollars(row.cost_nanos)),
        Number(format_dollars(row.uncollected_nanos)),
        row.usage_source,
        row.end_reason,
        row.status_code,
        row.response_time_ms,
        row.error_message,
    )


_PAGED = Paged(
    Listing.USAGE, _QUERIES["usage"], usage_row, COLUMNS, cells,
    place=lambda row: Position(row.created_at, row.id.int), tie=lambda number: UUID(int=number),
)  # fmt: skip
