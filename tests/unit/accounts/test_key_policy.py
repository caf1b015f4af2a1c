"""How far users may go with their own keys."""

from datetime import UTC, datetime
from typing import Any

import pytest

from accounts.errors import InvalidRequest
from accounts.key_policy import DEFAULT_GRACE_S, grace_s, within
from runtime.settings import KeyPolicy

NOW_MS = 1_800_000_000_000
OPEN = KeyPolicy()
TIGHT = KeyPolicy(
    max_requests_per_minute=10,
    max_requests_per_day=100,
    max_tokens_per_minute=1000,
    max_concurrent_requests=3,
    max_rotation_grace_s=600,
)


def moment(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)


def test_what_is_within_the_bounds_stays_as_it_is() -> None:
    asked = {
        "requests_per_minute": 10,
        "requests_per_day": 100,
        "tokens_per_minute": 1000,
        "max_concurrent_requests": 3,
        "name": "x",
        "allowed_models": None,
        "budget_daily_nanos": 5,
        "expires_at": moment(NOW_MS + 1),
    }
    assert within(asked, TIGHT, NOW_MS) == asked


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"requests_per_minute": 11}, "rateLimitPerMinute: at most 10"),
        ({"requests_per_day": 101}, "rateLimitPerDay: at most 100"),
        ({"tokens_per_minute": 1001}, "tokensPerMinute: at most 1000"),
        ({"max_concurrent_requests": 4}, "maxConcurrentRequests: at most 3"),
        ({"expires_at": moment(NOW_MS)}, "expiresAt: must be in the future"),
    ],
)
def test_more_than_the_most_is_refused(asked: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidRequest, match=f"^{said}$"):
        within(asked, TIGHT, NOW_MS)


def test_without_a_limit_of_its_own_a_key_gets_the_most() -> None:
    nothing: dict[str, Any] = {"tokens_per_minute": None, "max_concurrent_requests": None}
    assert within(nothing, TIGHT, NOW_MS) == {"tokens_per_minute": 1000, "max_concurrent_requests": 3}
    assert within(nothing, OPEN, NOW_MS) == nothing


def test_what_is_not_asked_for_is_not_touched() -> None:
    assert within({}, TIGHT, NOW_MS) == {}
    assert within({"expires_at": None}, TIGHT, NOW_MS) == {"expires_at": None}


def test_how_long_an_old_key_stays_good() -> None:
    assert grace_s(None, OPEN) == DEFAULT_GRACE_S
    assert grace_s(None, TIGHT) == 600
    assert [grace_s(asked, TIGHT) for asked in (0, 1, 600)] == [0, 1, 600]
    with pytest.raises(InvalidRequest, match=r"^graceSeconds: at most 600$"):
        grace_s(601, TIGHT)
