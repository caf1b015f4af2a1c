"""What a user's requests come to: by model, and also by key and by day.

Whole days (UTC) are read from `ai_usage_daily`, which posting keeps summed up; only the broken days at the two ends of
a period are added up request by request.
"""

from collections.abc import Iterable
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

# An answer of 200 KiB; a thousand days are nearly three years.
MAX_GROUPS = 1000

Period = tuple[datetime, datetime]


@dataclass(frozen=True, slots=True)
class Sums:
    """What the requests of one model, key (its id) or day (of UTC, as ISO 8601) come to."""

    name: str
    requests: int
    tokens: int
    cost_nanos: int


@dataclass(frozen=True, slots=True)
class UsageStatistics:
    """`by_model` in the order of the names."""

    requests: int
    tokens: int
    cost_nanos: int
    by_model: tuple[Sums, ...]


@dataclass(frozen=True, slots=True)
class UsageBreakdown:
    """`total` is of all requests; of each kind of group there are at most MAX_GROUPS.

    Models and keys: those that cost most, in that order. Days: the latest, newest first.
    """

    total: UsageStatistics
    by_key: tuple[Sums, ...]
    by_day: tuple[Sums, ...]


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
    """Altogether and by model. Raises runtime.postgres.UNAVAILABLE."""
    found = await connection.fetch(_QUERIES["statistics"], *_parameters(user_id, wanted))
    return total([_sums(row, row["model"]) for row in found])


async def read_breakdown(connection: Connection, user_id: UUID, wanted: Filter) -> UsageBreakdown:
    """Also by key and by day, in one pass. Raises runtime.postgres.UNAVAILABLE."""
    found = await connection.fetch(_QUERIES["breakdown"], *_parameters(user_id, wanted), MAX_GROUPS)
    return breakdown(found)


def breakdown(found: Iterable[Any]) -> UsageBreakdown:
    """Rows of the query of that name, sorted into their groups; the first is the sum of all."""
    by_model, by_key, by_day = [], [], []
    all_of_it = Sums("", 0, 0, 0)
    for row in found:
        if row["model"] is not None:
            by_model.append(_sums(row, row["model"]))
        elif row["api_key_id"] is not None:
            by_key.append(_sums(row, str(row["api_key_id"])))
        elif row["day"] is not None:
            by_day.append(_sums(row, row["day"].isoformat()))
        elif row["requests"]:
            all_of_it = _sums(row, "")
    used = UsageStatistics(all_of_it.requests, all_of_it.tokens, all_of_it.cost_nanos, tuple(by_model))
    return UsageBreakdown(used, tuple(by_key), tuple(by_day))


def total(by_model: list[Sums]) -> UsageStatistics:
    return UsageStatistics(
        sum(used.requests for used in by_model),
        sum(used.tokens for used in by_model),
        sum(used.cost_nanos for used in by_model),
        tuple(by_model),
    )


def _parameters(user_id: UUID, wanted: Filter) -> tuple[Any, ...]:
    days = cut_days(wanted.start, wanted.end)
    return user_id, days.first, days.last, wanted.model, wanted.key_id, *days.head, *days.tail


def _sums(row: Any, name: str) -> Sums:
    return Sums(name, row["requests"], int(row["tokens"]), from_decimal(row["cost"]))


def _midnight_before(moment: datetime) -> datetime:
    return datetime.combine(moment.date(), time(), UTC)


def _midnight_from(moment: datetime) -> datetime:
    midnight = _midnight_before(moment)
    return midnight if midnight == moment else midnight + _DAY
