"""What may be asked for a key, field by field, and how a key is shown."""

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import orjson
import pytest

from accounts.api.key_shapes import ChangeKeyBody, KeyAnswer, NewKeyBody, RotateKeyBody, shown
from accounts.api.requests import parse_body
from accounts.errors import InvalidRequest
from accounts.key_lists import networks
from accounts.keys import ApiKey, NewKey
from ledger.money import MAX_NANOS

ID = "0b0b0b0b-0000-4000-8000-000000000002"
KEY = ApiKey(UUID(ID), "pp_live-AAAAAAA", "mine", 60, 1000, True, None, datetime(2026, 1, 1, tzinfo=UTC), None)


def new(**said: Any) -> dict[str, Any]:
    return parse_body(NewKeyBody, orjson.dumps({"name": "x"} | said)).asked()


def change(**said: Any) -> dict[str, Any]:
    return parse_body(ChangeKeyBody, orjson.dumps({"keyId": ID} | said)).asked()


def test_all_of_a_new_key_is_asked_for() -> None:
    assert NewKey(UUID(ID), **new()) == NewKey(UUID(ID), "x")


def test_a_new_key_with_everything() -> None:
    asked = new(
        allowedModels=["a", "b-*"],
        allowedRoutes=["/api/v1/chat/completions"],
        allowedIps=["10.0.0.0/8", "::1"],
        tokensPerMinute=100_000_000,
        maxConcurrentRequests=100_000,
        budgetDaily=0.1,
        budgetMonthly=9_000_000,
        expiresAt="2099-01-01",
    )
    assert asked["allowed_models"] == ("a", "b-*")
    assert asked["allowed_routes"] == ("/v1/chat/completions",)
    assert asked["allowed_ips"] == networks(["10.0.0.0/8", "::1"])
    assert (asked["tokens_per_minute"], asked["max_concurrent_requests"]) == (100_000_000, 100_000)
    assert (asked["budget_daily_nanos"], asked["budget_monthly_nanos"], asked["budget_total_nanos"]) == (
        100_000_000,
        MAX_NANOS,
        None,
    )


def test_null_is_said_and_absent_is_not() -> None:
    assert change() == {}
    assert change(budgetDaily=None, allowedIps=None) == {"budget_daily_nanos": None, "allowed_ips": None}
    assert change(name="y", rateLimitPerMinute=3) == {"name": "y", "requests_per_minute": 3}


@pytest.mark.parametrize("field", ["name", "rateLimitPerMinute", "rateLimitPerDay"])
def test_what_every_key_has_cannot_be_taken_away(field: str) -> None:
    for ask in (new, change):
        with pytest.raises(InvalidRequest, match=f"^{field}: "):
            ask(**{field: None})


LISTS = [[], "a", {}, {"a": 1}, 5, True, [None], [1], [["a"]], [""], ["a", "a"], ["\x00"], ["x" * 201]]
COUNTS = [0, -1, 1.5, 10**30, "5", True, [5], {}, 100_000_001]
BUDGETS = [0, -1, "5", True, [5], {}, 10**30, 9_000_001, 1e-10]
BAD = (
    [(field, value) for field in ("allowedModels", "allowedRoutes", "allowedIps") for value in LISTS]
    + [(field, value) for field in ("tokensPerMinute", "rateLimitPerMinute", "rateLimitPerDay") for value in COUNTS]
    + [("maxConcurrentRequests", value) for value in (*COUNTS, 100_001)]
    + [(field, value) for field in ("budgetDaily", "budgetMonthly", "budgetTotal") for value in BUDGETS]
    + [("allowedIps", [value]) for value in ("10.0.0.1/8", "localhost", "::1%eth0")]
    + [("allowedModels", [str(n) for n in range(10_000)]), ("colour", "red"), ("rotated_from", ID), ("isFrozen", False)]
)


@pytest.mark.parametrize(("field", "value"), BAD, ids=lambda part: repr(part)[:40])
def test_whatever_is_wrong_is_told_by_its_field(field: str, value: Any) -> None:
    raw = orjson.dumps(value) if value != 10**30 else b"1" + b"0" * 30
    for kind, start in ((NewKeyBody, b'"name": "x"'), (ChangeKeyBody, b'"keyId": "%s"' % ID.encode())):
        with pytest.raises(InvalidRequest, match=f"^{field}: ") as refused:
            parse_body(kind, b'{%s, "%s": %s}' % (start, field.encode(), raw))
        assert len(str(refused.value)) < 200


@pytest.mark.parametrize("number", [b"NaN", b"1e309", b"-1e999", b"1e99999999999999999999999999999999"])
@pytest.mark.parametrize("field", ["budgetDaily", "tokensPerMinute"])
def test_what_is_no_finite_number(field: str, number: bytes) -> None:
    with pytest.raises(InvalidRequest):
        parse_body(NewKeyBody, b'{"name": "x", "%s": %s}' % (field.encode(), number))


@pytest.mark.parametrize("grace", [-1, 1.5, "60", True, 10**9, [60]])
def test_what_is_no_grace(grace: Any) -> None:
    with pytest.raises(InvalidRequest, match=r"^graceSeconds: "):
        parse_body(RotateKeyBody, orjson.dumps({"keyId": ID, "graceSeconds": grace}))


def test_no_grace_is_not_said_nothing() -> None:
    assert parse_body(RotateKeyBody, orjson.dumps({"keyId": ID, "graceSeconds": 0})).graceSeconds == 0
    assert parse_body(RotateKeyBody, orjson.dumps({"keyId": ID})).graceSeconds is None


def test_a_key_is_shown_exactly_and_without_what_is_ours() -> None:
    key = replace(KEY, allowed_ips=networks(["10.0.0.0/8", "192.0.2.1"]), budget_total_nanos=1, allowed_models=("a",))
    text = orjson.dumps(shown(key), default=str)
    assert b'"budget_total":0.000000001' in text and b'"budget_daily":null' in text
    assert b'"allowed_ips":["10.0.0.0/8","192.0.2.1"]' in text and b'"allowed_models":["a"]' in text
    answer = KeyAnswer.model_validate_json(text)
    assert answer.budget_total == Decimal("0.000000001") and "is_replaced" not in shown(key)


def test_what_need_not_be_said_has_no_odd_default_in_the_description() -> None:
    schema = ChangeKeyBody.model_json_schema()
    assert schema["required"] == ["keyId"]
    assert [name for name, field in schema["properties"].items() if field.get("default", None) is not None] == []
