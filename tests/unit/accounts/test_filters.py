"""Filters and limits: what no row could match is bad input."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import pytest

from accounts.errors import InvalidRequest
from accounts.filters import MAX_LIMIT, MAX_OFFSET, Filter, check_limit, check_offset

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


def test_a_filter_may_be_empty_or_full() -> None:
    assert Filter().start is None
    Filter(NOON, NOON + timedelta(days=1), "gpt", UUID(int=1))
    Filter(NOON, NOON)


@pytest.mark.parametrize(
    "given",
    [
        {"start": NOON, "end": NOON - timedelta(microseconds=1)},
        {"start": NOON.replace(tzinfo=None)},
        {"end": NOON.replace(tzinfo=None)},
        {"start": datetime.max.replace(tzinfo=timezone(timedelta(hours=-12)))},
        {"end": datetime.min.replace(tzinfo=timezone(timedelta(hours=12)))},
        {"model": ""},
        {"model": "m" * 201},
        {"model": "a\x00b"},
        {"model": "\ud800"},
    ],
)
def test_a_filter_that_matches_nothing_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest):
        Filter(**given)


@pytest.mark.parametrize("limit", [0, -1, MAX_LIMIT + 1, 10**30, True, 1.0, float("nan"), "10", None])
def test_a_limit_is_a_whole_number_in_range(limit: Any) -> None:
    with pytest.raises(InvalidRequest, match="limit: must be a whole number from 1 to 1000"):
        check_limit(limit)


@pytest.mark.parametrize("offset", [-1, MAX_OFFSET + 1, True, 0.5, "0"])
def test_an_offset_is_a_whole_number_in_range(offset: Any) -> None:
    with pytest.raises(InvalidRequest, match="offset"):
        check_offset(offset)


def test_the_bounds_are_in_range() -> None:
    assert (check_limit(1), check_limit(MAX_LIMIT), check_offset(0), check_offset(MAX_OFFSET)) == (1, 1000, 0, 10_000)
