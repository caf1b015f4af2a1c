"""What a user's requests come to, by model.

Whole days (UTC) are read from `ai_usage_daily`, which posting keeps summed up; only the broken days at the two ends of
a period are added up request by request.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from uuid import UUID

from accounts.filters import Filter
from ledger.money import from_decimal
from runtime.postgres import Connection
from runtime.sql import load_queries

_QUERIES = load_queries("accounts", "sql/account_view.sql")
_DAY = timedelta(days=1)
# A period without anything in it, where one must be given.
_NEVER = (datetime(1970, 1, 1, tzinfo=UTC), datetime(1970, 1, 1, tzinfo=UTC))

Period = tuple[datetime, datetime]


@dataclass(frozen=True, slots=True)
class ModelUsage:
    model: str
    requests: int
    tokens: int
    cost_nanos: int


@dataclass(frozen=True, slots=True)
class UsageStatistics:
    """`by_model` in the order of the names."""

    requests: int
    tokens: int
    cost_nanos: int
    by_model: tuple[ModelUsage, ...]


@dataclass(frozen=True, slots=True)
class Days:
    """A period, cut: whole days from `first` to before `last` (None: no bound), and what is left on each side."""

    first: date | None
    last: date | None
    head: Period = _NEVER
    tail: Period = _NEVER


def cut_days(start: datetime | None, end: datetime | None) -> Days:
    """Cuts `start` <= t < `end` at the midnights of UTC."""
    begin = None if start is None else start.astimezone(UTC)
    finish = None if end is None else end.astimezone(UTC)
    first = None if begin is None else _midnight_from(begin)
    last = None if finish is None else _midnight_before(finish)
    if begin and finish and (first is None or last is None or first >= last):
        return Days(finish.date(), finish.date(), head=(begin, finish))
    return Days(
        None if first is None else first.date(),
        None if last is None else last.date(),
        head=_NEVER if begin is None or first is None else (begin, first),
        tail=_NEVER if finish is None or last is None else (last, finish),
    )


async def read_statistics(connection: Connection, user_id: UUID, wanted: Filter) -> UsageStatistics:
    """Raises runtime.postgres.UNAVAILABLE."""
    days = cut_days(wanted.start, wanted.end)
    found = await connection.fetch(
        _QUERIES["statistics"], user_id, days.first, days.last, wanted.model, wanted.key_id, *days.head, *days.tail
    )
    return total([_model_usage(row) for row in found])


def total(by_model: list[ModelUsage]) -> UsageStatistics:
    return UsageStatistics(
        sum(used.requests for used in by_model),
        sum(used.tokens for used in by_model),
        sum(used.cost_nanos for used in by_model),
        tuple(by_model),
    )


def _model_usage(row: Any) -> ModelUsage:
    return ModelUsage(row["model"], row["requests"], int(row["tokens"]), from_decimal(row["cost"]))


def _midnight_before(moment: datetime) -> datetime:
    return datetime.combine(moment.date(), time(), UTC)


def _midnight_from(moment: datetime) -> datetime:
    midnight = _midnight_before(moment)
    return midnight if midnight == moment else midnight + _DAY
