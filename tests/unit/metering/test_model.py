import pytest

from ledger.entries import KeyLimits, KeySpent
from metering.bucket import DAY_MS, MINUTE_MS
from metering.budget import day_at, month_of
from metering.model import Model, ModelWallet
from metering.model_keys import ModelKey
from metering.verdict import Outcome

NOW_MS = 1_000_000


def model(*, funds: int = 100, overdraft: int = 0, rpm: int = 10, rpd: int = 10) -> Model:
    key = ModelKey.fresh(rpm=rpm, rpd=rpd)
    return Model(keys={"k": key}, wallets={"w": ModelWallet(balance=funds, overdraft=overdraft)})


def wallet(of: Model) -> tuple[int | None, int, int]:
    return of.wallets["w"].balance, of.wallets["w"].held, of.wallets["w"].unposted


def test_a_hold_is_taken_from_what_is_available_and_the_charge_takes_its_place() -> None:
    shard = model()
    assert shard.admit("r", "k", "w", 60, NOW_MS) is Outcome.ADMITTED
    assert (wallet(shard), shard.wallets["w"].available) == ((100, 60, 0), 40)
    assert shard.settle("r", "w", 45) == 45
    assert (wallet(shard), shard.wallets["w"].available) == ((100, 0, 45), 55)
    assert shard.events == [("r", "w", 45)]


def test_a_released_hold_leaves_no_trace_but_the_tokens_taken() -> None:
    shard = model()
    shard.admit("r", "k", "w", 60, NOW_MS)
    shard.release("r", "w")
    assert (wallet(shard), shard.holds, shard.events) == ((100, 0, 0), {}, [])
    assert shard.keys["k"].minute.remaining == 9


@pytest.mark.parametrize(("cost", "charge"), [(70, 70), (100, 100), (130, 100)])
def test_a_cost_beyond_the_hold_is_charged_as_far_as_the_wallet_has_it(cost: int, charge: int) -> None:
    shard = model()
    shard.admit("r", "k", "w", 60, NOW_MS)
    assert shard.settle("r", "w", cost) == charge


def test_the_overdraft_counts_as_money() -> None:
    shard = model(funds=-5, overdraft=20)
    assert shard.admit("r1", "k", "w", 15, NOW_MS) is Outcome.ADMITTED
    assert shard.admit("r2", "k", "w", 1, NOW_MS) is Outcome.NO_FUNDS


def test_refusals_come_in_their_order_and_take_nothing() -> None:
    shard = model(funds=0, rpm=0, rpd=0)
    key = shard.keys["k"]
    assert shard.admit("r", "nobody", "w", 1, NOW_MS) is Outcome.UNKNOWN_KEY
    key.is_active = False
    assert shard.admit("r", "k", "nowhere", 1, NOW_MS) is Outcome.KEY_REFUSED
    key.is_active, key.expires_ms = True, NOW_MS
    assert shard.admit("r", "k", "nowhere", 1, NOW_MS) is Outcome.KEY_REFUSED
    key.expires_ms = NOW_MS + 1
    assert shard.admit("r", "k", "nowhere", 1, NOW_MS) is Outcome.OVER_MINUTE
    shard.keys["k"] = ModelKey.fresh(rpm=1, rpd=0)
    assert shard.admit("r", "k", "nowhere", 1, NOW_MS) is Outcome.OVER_DAY
    shard.keys["k"] = ModelKey.fresh(rpm=1, rpd=1)
    assert shard.admit("r", "k", "nowhere", 1, NOW_MS) is Outcome.UNKNOWN_WALLET
    assert shard.admit("r", "k", "w", 1, NOW_MS) is Outcome.NO_FUNDS
    assert (wallet(shard), shard.holds) == ((0, 0, 0), {})
    assert shard.admit("r", "k", "w", 0, NOW_MS) is Outcome.ADMITTED


def test_money_of_a_wallet_that_is_not_known_is_charged_in_full() -> None:
    assert model().settle("r", "elsewhere", 1000) == 1000


def test_acknowledging_moves_the_charge_into_the_balance_that_comes_with_it() -> None:
    shard = model()
    shard.settle("r", "w", 30)
    shard.acknowledge(0)
    shard.put_wallet("w", 70, 0, 1)
    assert (wallet(shard), shard.wallets["w"].available, shard.events) == ((70, 0, 0), 70, [])


def test_an_older_state_of_a_wallet_or_key_changes_nothing() -> None:
    shard = model()
    shard.put_wallet("w", 70, 5, 4)
    shard.put_wallet("w", 10, 0, 3)
    assert shard.wallets["w"] == ModelWallet(70, 5, 4)
    shard.put_key("k", ModelKey.fresh(rpm=1, rpd=1, version=4))
    shard.put_key("k", ModelKey.fresh(rpm=9, rpd=9, version=4))
    assert shard.keys["k"].minute.capacity == 1


def test_a_new_limit_does_not_fill_a_bucket_again() -> None:
    shard = model(rpm=2)
    shard.admit("r", "k", "w", 1, NOW_MS)
    shard.put_key("k", ModelKey.fresh(rpm=5, rpd=5, version=1))
    minute, _ = shard.keys["k"].buckets_at(NOW_MS)
    assert (minute.capacity, minute.remaining) == (5, 1)


def with_limits(*, spent: KeySpent | None = None, **limits: int) -> Model:
    shard = model(funds=1_000)
    today = day_at(NOW_MS)
    shard.keys["k"] = ModelKey.fresh(
        rpm=10, rpd=10, limits=KeyLimits(**limits), spent=spent or KeySpent(today, month_of(today))
    )
    return shard


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
