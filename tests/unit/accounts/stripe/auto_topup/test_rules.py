"""Tables of when a wallet is charged and what an answer means; and that no plan ever gets beyond its cap."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts.stripe.auto_topup.rules import (
    GIVE_UP_AFTER_S,
    KEY_LIFETIME_S,
    LONGEST_WAIT_S,
    Charge,
    Failed,
    Intent,
    Limits,
    Outcome,
    Paid,
    Plan,
    Standing,
    Stop,
    Unknown,
    is_given_up,
    may_ask_again,
    next_charge,
    outcome,
    reason_word,
    remaining,
    state,
    wait_s,
)

PLAN = Plan(threshold_nanos=5, amount_nanos=20, monthly_cap_nanos=100)
LIMITS = Limits(min_amount_nanos=1, max_amount_nanos=50, max_monthly_cap_nanos=1000)
EMPTY = Standing(balance_nanos=0, charged_nanos=0, is_charging=False, is_frozen=False)


@pytest.mark.parametrize(
    ("changes", "action"),
    [
        ({}, Charge(20)),
        ({"balance_nanos": 4}, Charge(20)),
        ({"balance_nanos": 5}, None),
        ({"balance_nanos": -3}, Charge(20)),
        ({"charged_nanos": 80}, Charge(20)),
        ({"charged_nanos": 81}, None),
        ({"charged_nanos": 500}, None),
        ({"is_charging": True}, None),
        ({"is_frozen": True}, None),
    ],
)
def test_when_a_wallet_is_charged(changes: dict[str, Any], action: Charge | None) -> None:
    assert next_charge(PLAN, replace(EMPTY, **changes), LIMITS) == action


def test_the_operators_limits_come_first() -> None:
    assert next_charge(PLAN, EMPTY, replace(LIMITS, max_amount_nanos=19)) == Stop("amount_not_allowed")
    assert next_charge(PLAN, EMPTY, replace(LIMITS, min_amount_nanos=21)) == Stop("amount_not_allowed")
    assert next_charge(PLAN, replace(EMPTY, charged_nanos=11), replace(LIMITS, max_monthly_cap_nanos=30)) is None


amounts = st.integers(1, 10**16)


@given(st.builds(Plan, amounts, amounts, amounts), amounts, st.lists(st.booleans(), max_size=50))
def test_no_plan_gets_beyond_its_cap(plan: Plan, most: int, endings: list[bool]) -> None:
    limits = Limits(1, 10**16, most)
    charged = 0
    for came in endings:
        found = next_charge(plan, replace(EMPTY, charged_nanos=charged), limits)
        if not isinstance(found, Charge):
            break
        charged += found.amount_nanos if came else 0
        assert charged <= min(plan.monthly_cap_nanos, most)
    assert remaining(plan, charged, limits) >= 0


@pytest.mark.parametrize(
    ("intent", "found"),
    [
        (Intent("pi", "succeeded"), Paid("pi")),
        (Intent("pi", "processing"), Unknown("pi")),
        (Intent("pi", "requires_capture"), Unknown("pi")),
        (Intent("pi", "what nobody has heard of"), Unknown("pi")),
        (Intent(None, "succeeded"), Unknown(None)),
        (Intent("pi", "requires_payment_method", "expired_card"), Failed("expired_card", "pi")),
        (Intent("pi", "requires_payment_method"), Failed("card_declined", "pi")),
        (Intent(None, "requires_payment_method", "Not A Word!"), Failed("card_declined", None)),
        (Intent("pi", "requires_action"), Failed("authentication_required", "pi")),
        (Intent("pi", "requires_confirmation"), Failed("not_confirmed", "pi")),
        (Intent("pi", "canceled"), Failed("canceled", "pi")),
    ],
)
def test_what_an_answer_means(intent: Intent, found: Outcome) -> None:
    assert outcome(intent) == found


@given(st.text() | st.none() | st.integers())
def test_a_reason_is_a_word(code: object) -> None:
    word = reason_word(code, "otherwise")
    assert word.isascii() and len(word) <= 64 and word.replace("_", "a").isalnum()


@pytest.mark.parametrize(
    ("is_enabled", "is_charging", "reason", "shown"),
    [
        (True, False, None, "on"),
        (True, True, None, "charging"),
        (False, True, "refunded", "charging"),
        (False, False, None, "off"),
        (False, False, "card_declined", "stopped"),
    ],
)
def test_what_people_see(is_enabled: bool, is_charging: bool, reason: str | None, shown: str) -> None:
    assert state(is_enabled, is_charging, reason) == shown


def test_a_key_is_not_used_when_stripe_may_have_forgotten_it() -> None:
    assert KEY_LIFETIME_S < 24 * 3600 and may_ask_again(0)
    assert may_ask_again(KEY_LIFETIME_S - 1) and not may_ask_again(KEY_LIFETIME_S)


def test_it_is_given_up_when_stripe_delivers_no_more() -> None:
    assert GIVE_UP_AFTER_S > 3 * 24 * 3600
    assert is_given_up(GIVE_UP_AFTER_S) and not is_given_up(GIVE_UP_AFTER_S - 1)


@given(st.integers(0, 10**9))
def test_waits_grow_and_are_bounded(asked: int) -> None:
    assert 60 <= wait_s(asked) <= wait_s(asked + 1) <= LONGEST_WAIT_S
