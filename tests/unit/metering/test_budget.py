"""What is counted against a key's budgets: by day, by month, and ever."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from ledger.entries import KeySpent
from metering.bucket import DAY_MS
from metering.budget import changed_by, counted_until, day_at, month_of

days = st.integers(0, 60_000)
moments = st.integers(0, 60_000 * DAY_MS)


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


@pytest.mark.parametrize(
    ("when", "month"),
    [
        ("1970-01-01", 1970 * 12 + 1),
        ("2000-02-29", 2000 * 12 + 2),
        ("2026-12-31", 2026 * 12 + 12),
        ("2027-01-01", 2027 * 12 + 1),
    ],
)
def test_the_month_of_a_day(when: str, month: int) -> None:
    assert month_of(day_at(at(when))) == month


def test_a_new_day_and_a_new_month_begin_at_nothing() -> None:
    evening = at("2026-11-30T23:59:59.999")
    spent = replace(counted_until(KeySpent(), evening), day_nanos=1, month_nanos=2, total_nanos=3)
    assert counted_until(spent, evening) == spent
    night = counted_until(spent, evening + 1)
    assert (night.day_nanos, night.month_nanos, night.total_nanos) == (0, 0, 3)
    noon = counted_until(replace(spent, day=spent.day - 1), evening)
    assert (noon.day_nanos, noon.month_nanos, noon.total_nanos) == (0, 2, 3)


@given(moments, moments)
def test_a_clock_that_was_set_back_empties_nothing_twice(first: int, second: int) -> None:
    spent = replace(counted_until(KeySpent(), max(first, second)), day_nanos=5, month_nanos=6, total_nanos=7)
    assert counted_until(spent, min(first, second)) == spent


@given(days, days, st.integers(0, 10**15))
def test_what_was_admitted_in_another_period_changes_the_total_only(today: int, then: int, nanos: int) -> None:
    spent = KeySpent(today, month_of(today), 1, 2, 3)
    changed = changed_by(spent, nanos, then, month_of(then))
    assert changed.total_nanos == 3 + nanos
    assert changed.day_nanos == 1 + (nanos if then == today else 0)
    assert changed.month_nanos == 2 + (nanos if month_of(then) == month_of(today) else 0)
