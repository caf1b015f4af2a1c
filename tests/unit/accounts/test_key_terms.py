"""What a key is, as it is wanted, kept and told; and whether it may still be changed."""

from dataclasses import fields, replace
from datetime import UTC, datetime
from decimal import Decimal
from ipaddress import ip_network
from typing import Any
from uuid import UUID

import pytest

from accounts.errors import KeyExpired, KeyFrozen, KeyNotInForce, KeyReplaced, KeyRevoked
from accounts.key_lists import networks
from accounts.key_terms import ApiKey, NewKey, api_key, columns, difference, require_changeable, wanted_again

USER = UUID(int=7)
FULL = NewKey(
    USER, "x", 5, 50, datetime(2030, 1, 1, tzinfo=UTC), ("a",), ("/v1/embeddings",), networks(["10.0.0.0/8"]),
    9, 2, 1, 2, 3,
)  # fmt: skip
KEY = ApiKey(UUID(int=1), "pp_live-AAAAAAA", "mine", 60, 1000, True, None, datetime(2026, 1, 1, tzinfo=UTC), None)


def row(**said: Any) -> dict[str, Any]:
    """As Postgres gives it: lists, and budgets in dollars."""
    found = {field.name: getattr(KEY, field.name) for field in fields(ApiKey)}
    for name in ("budget_daily", "budget_monthly", "budget_total"):
        found[name] = found.pop(f"{name}_nanos")
    return found | said


def test_a_row_with_no_restriction() -> None:
    assert api_key(row()) == KEY


def test_money_is_exact_and_an_empty_list_is_not_no_list() -> None:
    found = api_key(
        row(budget_daily=Decimal("0.000000001"), budget_total=Decimal("8999999.999999999"), allowed_models=[])
    )
    assert (found.budget_daily_nanos, found.budget_monthly_nanos) == (1, None)
    assert found.budget_total_nanos == 8_999_999_999_999_999
    assert (found.allowed_models, found.allowed_routes) == ((), None)


def test_a_key_is_kept_as_it_is_wanted() -> None:
    """Whatever is added to NewKey must be added on every way there and back."""
    assert None not in [getattr(FULL, field.name) for field in fields(NewKey)]
    kept = columns(FULL)
    assert len(kept) == len(fields(NewKey)) - 1, "all but the owner"
    names = [
        "name", "rate_limit_per_minute", "rate_limit_per_day", "expires_at", "allowed_models", "allowed_routes",
        "allowed_ips", "tokens_per_minute", "max_concurrent_requests", "budget_daily", "budget_monthly", "budget_total",
    ]  # fmt: skip
    assert wanted_again(api_key(row(**dict(zip(names, kept, strict=True)))), USER) == FULL


def test_what_was_changed_is_told_and_nothing_else() -> None:
    assert difference(FULL, FULL) == ({}, {})
    after = replace(FULL, allowed_ips=None, budget_daily_nanos=1_500_000_000, name="y")
    assert difference(FULL, after) == (
        {"name": "x", "allowed_ips": "10.0.0.0/8", "budget_daily": "0.000000001"},
        {"name": "y", "allowed_ips": None, "budget_daily": "1.5"},
    )


def test_a_long_list_is_told_by_its_beginning() -> None:
    _, after = difference(FULL, replace(FULL, allowed_models=("m" * 200,) * 100))
    assert len(after["allowed_models"]) <= 500


def test_what_is_in_force_may_be_changed() -> None:
    require_changeable(KEY)


@pytest.mark.parametrize(
    ("said", "error", "code"),
    [
        ({"is_active": False}, KeyRevoked, "key_revoked"),
        ({"is_expired": True}, KeyExpired, "key_expired"),
        ({"is_frozen": True}, KeyFrozen, "key_frozen"),
        ({"is_replaced": True}, KeyReplaced, "key_replaced"),
        ({"is_active": False, "is_expired": True, "is_frozen": True, "is_replaced": True}, KeyRevoked, "key_revoked"),
        ({"is_expired": True, "is_replaced": True}, KeyReplaced, "key_replaced"),
    ],
)
def test_what_is_at_its_end_or_frozen_may_not(said: dict[str, Any], error: type[KeyNotInForce], code: str) -> None:
    with pytest.raises(error) as refused:
        require_changeable(replace(KEY, **said))
    assert (refused.value.status, refused.value.code) == (409, code)


def test_a_network_is_a_value() -> None:
    assert networks(["10.0.0.0/8"]) == (ip_network("10.0.0.0/8"),)
