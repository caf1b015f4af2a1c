"""What is asked about a wallet's lines and requests, and how they are shown."""

from collections.abc import Iterable
from datetime import date, datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import BeforeValidator, Field

from accounts.api.answers import dollars
from accounts.api.fields import Body, End, Id, Moment
from accounts.api.shapes import Answer, Dollars, NextCursor
from accounts.filters import MAX_LIMIT, MAX_MODEL_CHARS, Filter
from accounts.pages import DEFAULT_LIMIT
from accounts.statistics import Sums, UsageStatistics
from accounts.transactions import TransactionRow
from accounts.usage import UsageRow

# Longer than any cursor is.
_MAX_CURSOR_CHARS = 128


def _as_text(value: Any) -> Any:
    # a model may be called 4711; a query's text was read as a number then
    return str(value) if type(value) is int else value


ModelName = Annotated[str, BeforeValidator(_as_text), Field(min_length=1, max_length=MAX_MODEL_CHARS)]


class PeriodQuery(Body):
    """Which rows; what is left out is no bound. The end is not in the period, unless it is a date without a time."""

    startDate: Moment | None = None
    endDate: End | None = None
    model: ModelName | None = None
    keyId: Id | None = Field(default=None, description="only what this key did")

    def filter(self) -> Filter:
        """Raises InvalidRequest for a period that ends before it begins."""
        return Filter(self.startDate, self.endDate, self.model, self.keyId)


class PageQuery(PeriodQuery):
    """`cursor` is the `nextCursor` of the one before, asked for with the same filter."""

    limit: int = Field(default=DEFAULT_LIMIT, ge=1, le=MAX_LIMIT, description="rows of one page")
    cursor: str | None = Field(default=None, max_length=_MAX_CURSOR_CHARS, description="`nextCursor` of the one before")


class LineAnswer(Answer):
    """One line of a wallet; `request_id` is what a line of type `usage` paid for or corrects."""

    id: UUID
    type: str
    amount: Dollars
    description: str
    balance_before: Dollars
    balance_after: Dollars
    request_id: UUID | None
    created_at: datetime


class UsageAnswer(Answer):
    """One request. The kinds of tokens are disjoint; `cost` - `uncollected` was debited."""

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
    cost: Dollars
    uncollected: Dollars
    usage_source: str
    end_reason: str
    status_code: int
    response_time_ms: int
    error_message: str | None


class SumsAnswer(Answer):
    requests: int
    tokens: int
    cost: Dollars


class StatisticsAnswer(Answer):
    totalRequests: int
    totalTokens: int
    totalCost: Dollars
    byModel: dict[str, SumsAnswer]


class BreakdownAnswer(StatisticsAnswer):
    """Of many, the latest days, and the models and keys that cost most; the totals are of all."""

    byKey: dict[UUID, SumsAnswer]
    byDay: Annotated[dict[date, SumsAnswer], Field(description="days of UTC, the latest first")]


class TransactionsAnswer(Answer):
    success: bool
    transactions: list[LineAnswer]
    nextCursor: NextCursor


class UsagePageAnswer(Answer):
    success: bool
    usage: list[UsageAnswer]
    nextCursor: NextCursor


class UsageStatisticsAnswer(Answer):
    success: bool
    usageStats: BreakdownAnswer


def shown_line(line: TransactionRow) -> dict[str, Any]:
    return {
        "id": line.id,
        "type": line.type,
        "amount": dollars(line.amount_nanos),
        "description": line.description,
        "balance_before": dollars(line.balance_before_nanos),
        "balance_after": dollars(line.balance_after_nanos),
        "request_id": line.request_id,
        "created_at": line.created_at,
    }


def shown_usage(row: UsageRow) -> dict[str, Any]:
    """The fields of a `UsageAnswer`; amounts in dollars, the rest as it is."""
    money = {"cost": dollars(row.cost_nanos), "uncollected": dollars(row.uncollected_nanos)}
    return {name: money[name] if name in money else getattr(row, name) for name in UsageAnswer.model_fields}


def shown_sums(groups: Iterable[Sums]) -> dict[str, Any]:
    """Name -> sums, in the order given."""
    return {
        group.name: {"requests": group.requests, "tokens": group.tokens, "cost": dollars(group.cost_nanos)}
        for group in groups
    }


def shown_totals(used: UsageStatistics) -> dict[str, Any]:
    """The fields of a `StatisticsAnswer`."""
    return {
        "totalRequests": used.requests,
        "totalTokens": used.tokens,
        "totalCost": dollars(used.cost_nanos),
        "byModel": shown_sums(used.by_model),
    }
