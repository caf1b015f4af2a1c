"""Periods are cut into whole days and the rest, without losing or doubling a moment."""

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts.statistics import Days, Sums, UsageStatistics, breakdown, cut_days, total

MOMENTS = st.datetimes(datetime(2025, 12, 25), datetime(2026, 1, 8), timezones=st.just(UTC))
MIDNIGHTS = MOMENTS.map(lambda moment: moment.replace(hour=0, minute=0, second=0, microsecond=0))


def times_counted(days: Days, moment: datetime) -> int:
    """As the query counts."""
    after_first = days.first is None or moment.date() >= days.first
    before_last = days.last is None or moment.date() < days.last
    edges = sum(start <= moment < end for start, end in (days.head, days.tail))
    return edges + (after_first and before_last)


@given(st.none() | MOMENTS | MIDNIGHTS, st.none() | MOMENTS | MIDNIGHTS, MOMENTS | MIDNIGHTS)
def test_every_moment_of_a_period_is_counted_once_and_no_other(
    start: datetime | None, end: datetime | None, moment: datetime
) -> None:
    if start and end and start > end:
        start, end = end, start
    inside = (start is None or start <= moment) and (end is None or moment < end)
    assert times_counted(cut_days(start, end), moment) == inside


@given(st.none() | MOMENTS, st.none() | MOMENTS)
def test_no_more_than_two_broken_days_are_added_up_row_by_row(start: datetime | None, end: datetime | None) -> None:
    if start and end and start > end:
        start, end = end, start
    days = cut_days(start, end)
    assert all(until - since <= timedelta(days=2) for since, until in (days.head, days.tail))
    if start and end and end - start >= timedelta(days=2):
        assert days.first != days.last


def test_days_are_those_of_utc() -> None:
    east = timezone(timedelta(hours=5))
    days = cut_days(datetime(2026, 1, 2, 5, tzinfo=east), datetime(2026, 1, 4, 5, tzinfo=east))
    assert (days.first, days.last) == (date(2026, 1, 2), date(2026, 1, 4))
    assert all(since == until for since, until in (days.head, days.tail))


def test_a_total_is_the_sum_of_its_models() -> None:
    used = [Sums("a", 1, 20, 300), Sums("b", 2, 30, 400)]
    assert total(used) == UsageStatistics(3, 50, 700, tuple(used))
    assert total([]).cost_nanos == 0


@pytest.mark.parametrize("hours", [0, 1, 23, 24, 25, 47])
def test_a_short_period_has_at_most_one_whole_day(hours: int) -> None:
    start = datetime(2026, 1, 1, 7, tzinfo=UTC)
    days = cut_days(start, start + timedelta(hours=hours))
    assert days.first is not None and days.last is not None
    assert (days.last - days.first).days in (0, 1)


def group(
    model: str | None = None, key: UUID | None = None, day: date | None = None, requests: int = 3
) -> dict[str, Any]:
    sums = {"requests": requests, "tokens": Decimal(50), "cost": Decimal("0.000000700")}
    return {"model": model, "api_key_id": key, "day": day} | sums


def test_rows_are_sorted_into_their_groups() -> None:
    found = breakdown([group(), group("a"), group(key=UUID(int=7)), group(day=date(2026, 1, 2))])
    assert found.total == UsageStatistics(3, 50, 700, (Sums("a", 3, 50, 700),))
    assert [used.name for used in found.by_key] == [str(UUID(int=7))]
    assert [used.name for used in found.by_day] == ["2026-01-02"]


def test_nothing_used_comes_to_nothing() -> None:
    nothing = {"requests": None, "tokens": None, "cost": None}
    found = breakdown([group() | nothing])
    assert (found.total, found.by_key, found.by_day) == (UsageStatistics(0, 0, 0, ()), (), ())
