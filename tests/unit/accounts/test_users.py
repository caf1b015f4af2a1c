"""From which day on spending counts; the lists themselves are in tests/integration/test_users.py."""

from datetime import UTC, date, datetime, timedelta, timezone

import pytest

from accounts.errors import InvalidRequest
from accounts.users import first_day

NOW_MS = int(datetime(2026, 3, 15, 23, 59, 59, tzinfo=UTC).timestamp() * 1000)


def test_without_a_day_it_is_thirty_days_ago() -> None:
    assert first_day(None, NOW_MS) == date(2026, 2, 13)


def test_a_moment_counts_from_the_beginning_of_its_day_in_utc() -> None:
    east = timezone(timedelta(hours=5))
    assert first_day(datetime(2026, 3, 1, 4, 59, tzinfo=east), NOW_MS) == date(2026, 2, 28)
    assert first_day(datetime(2026, 3, 1, 5, 0, tzinfo=east), NOW_MS) == date(2026, 3, 1)


@pytest.mark.parametrize(
    "since", [datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC), datetime(2026, 1, 1)]
)
def test_what_is_no_time_of_ours_is_refused(since: datetime) -> None:
    with pytest.raises(InvalidRequest):
        first_day(since, NOW_MS)
