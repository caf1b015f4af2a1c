"""What may be asked for, alone and on top of what was asked for before."""

from decimal import Decimal
from typing import Any

import pytest

from accounts.errors import AutoTopupIncomplete, InvalidRequest
from accounts.stripe.auto_topup.rules import Limits, Plan
from accounts.stripe.auto_topup.wishes import Wish, check, limits_of
from runtime.settings import Stripe

USD = 1_000_000_000
CENT = USD // 100
LIMITS = Limits(USD, 1000 * USD, 5000 * USD)
KNOWN = Plan(5 * USD, 20 * USD, 100 * USD)


@pytest.mark.parametrize(
    ("wish", "known", "plan"),
    [
        (Wish(True, 5 * USD, 20 * USD, 100 * USD), None, KNOWN),
        (Wish(False, 5 * USD, 20 * USD, 100 * USD), None, KNOWN),
        (Wish(True), KNOWN, KNOWN),
        (Wish(False), KNOWN, KNOWN),
        (Wish(False), None, None),
        (Wish(True, threshold_nanos=1), KNOWN, Plan(1, 20 * USD, 100 * USD)),
        (Wish(True, amount_nanos=100 * USD), KNOWN, Plan(5 * USD, 100 * USD, 100 * USD)),
        (Wish(True, monthly_cap_nanos=20 * USD), KNOWN, Plan(5 * USD, 20 * USD, 20 * USD)),
    ],
)
def test_what_is_left_out_stays(wish: Wish, known: Plan | None, plan: Plan | None) -> None:
    assert check(wish, known, LIMITS) == plan


@pytest.mark.parametrize(
    "wish", [Wish(True), Wish(True, 5 * USD), Wish(False, 5 * USD, 20 * USD), Wish(False, monthly_cap_nanos=USD)]
)
def test_the_first_time_all_of_it_is_needed(wish: Wish) -> None:
    with pytest.raises(AutoTopupIncomplete):
        check(wish, None, LIMITS)


@pytest.mark.parametrize(
    ("field", "changes"),
    [
        ("amount", {"amount_nanos": 99 * CENT}),
        ("amount", {"amount_nanos": 1000 * USD + CENT, "monthly_cap_nanos": 5000 * USD}),
        ("amount", {"amount_nanos": 20 * USD + 1}),
        ("amount", {"monthly_cap_nanos": 100 * USD + 1}),
        ("monthlyCap", {"monthly_cap_nanos": 20 * USD - CENT}),
        ("monthlyCap", {"monthly_cap_nanos": 5000 * USD + CENT}),
        ("threshold", {"threshold_nanos": 0}),
        ("threshold", {"threshold_nanos": -1}),
        ("threshold", {"threshold_nanos": 5000 * USD + 1}),
    ],
)
def test_what_may_not_be_charged_is_refused(field: str, changes: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest, match=rf"^{field}"):
        check(Wish(True, **changes), KNOWN, LIMITS)


def test_it_can_be_switched_off_also_where_less_is_allowed_by_now() -> None:
    lower = Limits(USD, 10 * USD, 50 * USD)
    assert check(Wish(False), KNOWN, lower) == KNOWN
    with pytest.raises(InvalidRequest):
        check(Wish(True), KNOWN, lower)


def test_the_limits_are_the_checkouts_unless_they_are_set() -> None:
    assert limits_of(Stripe()) == Limits(USD, 1000 * USD, 10_000 * USD)
    own = {"max_amount": Decimal(50), "max_monthly_cap": Decimal(200)}
    assert limits_of(Stripe.model_validate({"auto_topup": own})) == Limits(USD, 50 * USD, 200 * USD)
