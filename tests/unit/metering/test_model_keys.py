"""A key with limits of its own, as one shard of Redis keeps it."""

import pytest

from ledger.entries import KeyLimits, KeySpent
from metering.bucket import DAY_MS, MINUTE_MS
from metering.budget import day_at, month_of
from metering.model import Model, ModelWallet
from metering.model_keys import ModelKey, Note
from metering.verdict import Outcome

NOW_MS = 1_000_000


def test_a_new_limit_does_not_fill_a_bucket_again() -> None:
    known, new = ModelKey.fresh(rpm=2, rpd=10), ModelKey.fresh(rpm=5, rpd=5, version=1)
    known.minute, known.buckets_ms = known.minute.taken(), NOW_MS
    new.go_on_from(known)
    minute, _ = new.buckets_at(NOW_MS)
    assert (minute.capacity, minute.remaining) == (5, 1)


def with_limits(*, spent: KeySpent | None = None, **limits: int) -> Model:
    today = day_at(NOW_MS)
    key = ModelKey.fresh(rpm=10, rpd=10, limits=KeyLimits(**limits), spent=spent or KeySpent(today, month_of(today)))
    return Model(keys={"k": key}, wallets={"w": ModelWallet(balance=1_000)})


def ask(shard: Model, request: str = "r", hold: int = 0, tokens: int = 0, now_ms: int = NOW_MS) -> Outcome:
    return shard.admit(request, "k", "w", hold, now_ms, tokens=tokens)


def settle(shard: Model, request: str = "r", cost: int = 0, tokens: int = 0, now_ms: int = NOW_MS) -> int | None:
    return shard.settle(request, "w", cost, "k", tokens=tokens, now_ms=now_ms)


def test_what_is_asked_of_a_key_is_asked_in_this_order() -> None:
    """Whether it is good first, for a revoked key learns no more; then what waiting does not change; then the rest."""
    shard = with_limits(tokens_per_minute=0, max_concurrent_requests=0, budget_day_nanos=0)
    key, purse = shard.keys["k"], shard.wallets.pop("w")
    key.is_frozen, key.policy_id = True, "p"
    shard.keys["bad"] = ModelKey.fresh(rpm=0, rpd=0, is_active=False)
    shard.keys["bad"].is_frozen, shard.keys["bad"].policy_id = True, "p"
    assert shard.admit("r", "bad", "w", 1, NOW_MS) is Outcome.KEY_REFUSED
    assert ask(shard, hold=1, tokens=1) is Outcome.KEY_FROZEN
    key.is_frozen = False
    assert ask(shard, hold=1, tokens=1) is Outcome.STALE_POLICY
    assert shard.admit("r", "k", "w", 1, NOW_MS, judged="!p") is Outcome.POLICY_REFUSED
    assert shard.admit("r", "k", "w", 1, NOW_MS, judged="!q") is Outcome.STALE_POLICY
    key.policy_id = ""
    assert ask(shard, hold=1, tokens=1) is Outcome.OVER_TOKENS
    key.limits = KeyLimits(max_concurrent_requests=0, budget_day_nanos=0)
    assert ask(shard, hold=1) is Outcome.TOO_MANY_OPEN
    key.limits = KeyLimits(budget_day_nanos=0, budget_month_nanos=0, budget_total_nanos=0)
    assert ask(shard, hold=1) is Outcome.UNKNOWN_WALLET
    shard.wallets["w"] = purse
    purse.is_frozen, purse.balance = True, 0
    assert ask(shard, hold=1) is Outcome.WALLET_FROZEN
    purse.is_frozen = False
    assert ask(shard, hold=1) is Outcome.OVER_BUDGET_DAY
    key.limits = KeyLimits(budget_month_nanos=0, budget_total_nanos=0)
    assert ask(shard, hold=1) is Outcome.OVER_BUDGET_MONTH
    key.limits = KeyLimits(budget_total_nanos=0)
    assert ask(shard, hold=1) is Outcome.OVER_BUDGET_TOTAL
    key.limits = KeyLimits(budget_total_nanos=1)
    assert ask(shard, hold=1) is Outcome.NO_FUNDS
    assert (shard.holds, key.open, key.minute.remaining) == ({}, {}, 10), "nothing was taken"


def test_the_tokens_taken_are_the_bound_and_become_what_was_used() -> None:
    shard = with_limits(tokens_per_minute=100)
    assert [ask(shard, str(n), tokens=40) for n in range(3)] == [
        Outcome.ADMITTED,
        Outcome.ADMITTED,
        Outcome.OVER_TOKENS,
    ]
    settle(shard, "0", tokens=5)
    bucket = shard.keys["k"].tokens_at(NOW_MS)
    assert bucket is not None and bucket.remaining == 100 - 40 - 5
    settle(shard, "1", tokens=250)
    bucket = shard.keys["k"].tokens_at(NOW_MS)
    assert bucket is not None and (bucket.remaining, bucket.level) == (0, -155 * MINUTE_MS)
    assert ask(shard, "3", tokens=0) is Outcome.OVER_TOKENS, "it owes"


def test_one_request_larger_than_the_bucket_takes_all_of_it() -> None:
    shard = with_limits(tokens_per_minute=100)
    assert ask(shard, tokens=10_000) is Outcome.ADMITTED
    assert ask(shard, "other", tokens=1) is Outcome.OVER_TOKENS
    settle(shard, tokens=100)
    assert ask(shard, tokens=10_000, now_ms=NOW_MS + MINUTE_MS) is Outcome.ADMITTED


def test_a_request_is_open_until_it_is_settled_or_released_and_only_once() -> None:
    shard = with_limits(max_concurrent_requests=2)
    assert [ask(shard, str(n)) for n in range(3)] == [Outcome.ADMITTED, Outcome.ADMITTED, Outcome.TOO_MANY_OPEN]
    settle(shard, "0")
    settle(shard, "0")
    shard.release("9", "w", "k")
    assert set(shard.keys["k"].open) == {"1"}
    shard.holds.clear()
    shard.release("1", "w", "k")
    assert shard.keys["k"].open == {}, "also if the hold was lost"


def test_a_budget_counts_holds_and_then_charges() -> None:
    shard = with_limits(budget_day_nanos=100)
    assert ask(shard, "a", 60) is Outcome.ADMITTED
    assert ask(shard, "b", 41) is Outcome.OVER_BUDGET_DAY
    settle(shard, "a", 50)
    settle(shard, "a", 50)
    assert ask(shard, "b", 51) is Outcome.OVER_BUDGET_DAY
    assert ask(shard, "b", 50) is Outcome.ADMITTED, "a settlement that came twice counts once"
    shard.release("b", "w", "k")
    assert ask(shard, "c", 50) is Outcome.ADMITTED
    settle(shard, "c", 70)
    assert ask(shard, "d", 0) is Outcome.OVER_BUDGET_DAY, "what was used beyond the hold counts too"


def test_a_request_belongs_to_the_day_on_which_it_was_admitted() -> None:
    shard = with_limits(budget_day_nanos=100, budget_total_nanos=150)
    midnight = (day_at(NOW_MS) + 1) * DAY_MS
    assert ask(shard, "late", 90, now_ms=midnight - 1) is Outcome.ADMITTED
    assert ask(shard, "early", 60, now_ms=midnight) is Outcome.ADMITTED
    settle(shard, "late", 80, now_ms=midnight)
    assert ask(shard, "more", 40, now_ms=midnight) is Outcome.OVER_BUDGET_TOTAL
    shard.keys["k"].limits = KeyLimits(budget_day_nanos=100)
    assert ask(shard, "more", 40, now_ms=midnight) is Outcome.ADMITTED


def test_what_a_key_has_spent_survives_a_change_of_it_and_begins_anew_with_a_new_budget() -> None:
    shard = with_limits(budget_total_nanos=100)
    assert ask(shard, "a", 60) is Outcome.ADMITTED
    shard.put_key("k", ModelKey.fresh(rpm=10, rpd=10, version=1, limits=KeyLimits(budget_total_nanos=90)))
    assert ask(shard, "b", 31) is Outcome.OVER_BUDGET_TOTAL
    shard.put_key("k", ModelKey.fresh(rpm=10, rpd=10, version=2))
    assert ask(shard, "b", 31) is Outcome.ADMITTED
    posted = KeySpent(day_at(NOW_MS), month_of(day_at(NOW_MS)), 10, 10, 10)
    shard.put_key(
        "k", ModelKey.fresh(rpm=10, rpd=10, version=3, limits=KeyLimits(budget_total_nanos=100), spent=posted)
    )
    settle(shard, "a", 20)
    settle(shard, "b", 5)
    used = shard.keys["k"].used
    assert used is not None and used.total_nanos == 10 + 20 + 5, "no hold is taken off that was not in the count"


def key_with(**limits: int) -> ModelKey:
    return with_limits(spent=None, **limits).keys["k"]


def used(key: ModelKey) -> tuple[int, int, int]:
    assert key.used is not None
    return key.used.day_nanos, key.used.month_nanos, key.used.total_nanos


@pytest.mark.parametrize(
    ("limits", "left"),
    [
        ({}, 500),
        ({"max_concurrent_requests": 1}, 500),
        ({"budget_day_nanos": 60}, 60),
        ({"budget_day_nanos": 60, "budget_month_nanos": 50}, 50),
        ({"budget_day_nanos": 60, "budget_month_nanos": 50, "budget_total_nanos": 40}, 40),
        ({"budget_total_nanos": 900}, 500),
    ],
)
def test_what_all_budgets_have_left_is_what_the_smallest_has(limits: dict[str, int], left: int) -> None:
    assert key_with(**limits).within_budgets(500, NOW_MS) == left


def test_a_budget_that_is_overdrawn_has_less_than_nothing_left() -> None:
    spent = KeySpent(day_at(NOW_MS), month_of(day_at(NOW_MS)), 70, 70, 70)
    assert with_limits(spent=spent, budget_day_nanos=60).keys["k"].within_budgets(5, NOW_MS) == -10


def test_what_is_held_more_is_counted_and_noted_and_goes_with_the_request() -> None:
    key = key_with(budget_day_nanos=100, budget_total_nanos=80)
    key.take("r", 30, 0, NOW_MS)
    assert [key.hold_more("r", nanos, NOW_MS) for nanos in (20, 50, 1)] == [20, 30, 0]
    assert used(key) == (80, 80, 80) and key.open["r"].hold == 80
    key.close("r", True, 35, 0, NOW_MS)
    assert used(key) == (35, 35, 35) and key.open == {}


def test_what_is_held_more_on_another_day_belongs_to_the_day_of_the_request() -> None:
    key, tomorrow_ms = key_with(budget_day_nanos=100), NOW_MS + DAY_MS
    key.take("old", 30, 0, NOW_MS)
    key.take("new", 90, 0, tomorrow_ms)
    assert key.hold_more("old", 5, tomorrow_ms) == 5, "as much as today has left"
    assert used(key) == (90, 125, 125)


def test_a_request_from_before_counting_began_is_held_to_no_budget() -> None:
    key, today = key_with(max_concurrent_requests=2), day_at(NOW_MS)
    key.take("r", 30, 0, NOW_MS)
    counted = ModelKey.fresh(rpm=10, rpd=10, limits=KeyLimits(budget_day_nanos=10))
    counted.go_on_from(key)
    assert counted.hold_more("r", 50, NOW_MS) == 50
    assert counted.open["r"] == Note(80, 0, today, month_of(today), 0) and used(counted) == (0, 0, 0)


def test_of_a_request_that_is_not_noted_nothing_is_counted() -> None:
    key = key_with(budget_day_nanos=10)
    assert key.hold_more("unheard of", 50, NOW_MS) == 50 and used(key) == (0, 0, 0)


def test_a_key_without_limits_notes_nothing() -> None:
    key = ModelKey.fresh(rpm=10, rpd=10)
    key.take("r", 30, 5, NOW_MS)
    assert key.open == {} and key.used is None
