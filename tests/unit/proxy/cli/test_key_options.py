"""How a key is printed, and which options say what it may do."""

from dataclasses import fields, replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from accounts.key_lists import networks
from accounts.keys import ApiKey, NewKey
from proxy.cli.key_options import SETTINGS, key_lines

KEY = ApiKey(UUID(int=1), "pp_live-AAAAAAA", "mine", 60, 1000, True, None, datetime(2026, 1, 1, tzinfo=UTC), None)


def test_a_key_in_one_line_never_the_key_itself() -> None:
    line = key_lines(KEY)
    assert str(KEY.id) in line and "pp_live-AAAAAAA…" in line
    assert "active" in line and "60/min 1000/day" in line and "never used" in line and line.endswith("mine")
    used = replace(KEY, is_active=False, last_used_at=datetime(2026, 2, 3, 4, 5, tzinfo=UTC))
    assert "revoked" in key_lines(used) and "2026-02-03 04:05" in key_lines(used)


@pytest.mark.parametrize(
    ("said", "state"),
    [
        ({"is_expired": True, "is_frozen": True}, "expired"),
        ({"is_frozen": True}, "frozen"),
        ({"is_replaced": True}, "replaced"),
        ({"is_active": False, "is_replaced": True, "is_expired": True}, "revoked"),
    ],
)
def test_what_has_become_of_a_key(said: dict[str, Any], state: str) -> None:
    assert f"…  {state}  " in key_lines(replace(KEY, **said))


def test_what_narrows_a_key_is_told_below_it() -> None:
    narrow = replace(
        KEY,
        allowed_models=("a", "b-*"),
        allowed_routes=(),
        allowed_ips=networks(["10.0.0.0/8", "::1"]),
        tokens_per_minute=5000,
        max_concurrent_requests=2,
        budget_daily_nanos=500_000_000,
        budget_total_nanos=100 * 10**9,
        expires_at=datetime(2030, 1, 2, 3, 4, tzinfo=UTC),
        rotated_from=UUID(int=2),
    )
    assert [line.strip() for line in key_lines(narrow).splitlines()[1:]] == [
        "models a b-*",
        "routes none",
        "from 10.0.0.0/8 ::1",
        "tokens per minute 5000",
        "at once 2",
        "dollars 0.5 day 100 in all",
        "until 2030-01-02 03:04 UTC",
        f"replaces {UUID(int=2)}",
    ]


def test_there_is_an_option_for_everything_that_a_key_may_be_restricted_to() -> None:
    assert {setting.field for setting in SETTINGS} == {field.name for field in fields(NewKey)} - {"user_id", "name"}
