"""A fall is told once, and again only after the balance was well above the threshold or topped up over it."""

import itertools
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts.notices.balance_rule import Level, Look, judge, rearm_nanos


@pytest.mark.parametrize(
    ("look", "found"),
    [
        (Look("ok", 5, 5), ("ok", None)),
        (Look("ok", 4, 5), ("low", "balance.low")),
        (Look("ok", 0, 5), ("empty", "balance.empty")),
        (Look("ok", -3, 5), ("empty", "balance.empty")),
        (Look("ok", 1, 0), ("ok", None)),
        (Look("low", 4, 5), ("low", None)),
        (Look("low", 0, 5), ("empty", "balance.empty")),
        # from 5 to below 7, which is 5 and a quarter rounded up, it is not well above
        (Look("low", 6, 5), ("low", None)),
        (Look("low", 7, 5), ("ok", None)),
        (Look("low", 4, 5, peak_nanos=6), ("low", None)),
        (Look("low", 4, 5, peak_nanos=7), ("low", "balance.low")),
        (Look("low", 4, 5, peak_nanos=5, topup_peak_nanos=5), ("low", "balance.low")),
        (Look("low", 4, 5, peak_nanos=4, topup_peak_nanos=4), ("low", None)),
        (Look("empty", 0, 5), ("empty", None)),
        (Look("empty", 4, 5, peak_nanos=4), ("empty", None)),
        (Look("empty", 4, 5, peak_nanos=4, topup_peak_nanos=4), ("low", None)),
        (Look("empty", 0, 5, peak_nanos=4, topup_peak_nanos=4), ("empty", "balance.empty")),
        (Look("empty", 0, 5, peak_nanos=4), ("empty", None)),
        (Look("empty", 5, 5, peak_nanos=5), ("ok", None)),
        (Look("empty", 1, 0, peak_nanos=1), ("ok", None)),
        (Look("empty", 0, 0, peak_nanos=1), ("empty", "balance.empty")),
    ],
)
def test_the_table(look: Look, found: tuple[Level, str | None]) -> None:
    assert judge(look) == found


def test_a_quarter_more_is_rounded_up_and_exact() -> None:
    assert [rearm_nanos(threshold) for threshold in (0, 1, 4, 5, 9_000_000 * 10**9)] == [0, 2, 5, 7, 11_250_000 * 10**9]


@dataclass(frozen=True)
class Step:
    """One line of a wallet: a change, and whether it is a top-up."""

    amount: int
    is_topup: bool = False


STEPS = st.lists(
    st.one_of(
        st.builds(Step, st.integers(-12, 12)),
        st.builds(Step, st.integers(1, 12), st.just(True)),
    ),
    max_size=40,
)
THRESHOLDS = st.integers(0, 12)


def walk(steps: list[Step], threshold: int, looks_after: set[int]) -> list[tuple[int, str]]:
    """What is announced, and after which step, where looks are taken after some of the steps and after the last."""
    level: Level = "empty"
    balance = 0
    since: list[int] = []
    topups: list[int] = []
    told: list[tuple[int, str]] = []
    for number, step in enumerate(steps):
        balance += step.amount
        since.append(balance)
        topups += [balance] if step.is_topup else []
        if number in looks_after or number == len(steps) - 1:
            look = Look(level, balance, threshold, max(since), max(topups) if topups else None)
            level, says = judge(look)
            told += [(number, says)] if says is not None else []
            since, topups = [], []
    return told


def model(steps: list[Step], threshold: int) -> list[tuple[int, str]]:
    """The same by two flags, as one would tell it: may `low` be said, may `empty` be said; a look after every step."""
    balance, may_low, may_empty = 0, False, False
    told: list[tuple[int, str]] = []
    for number, step in enumerate(steps):
        balance += step.amount
        topped_up_over = step.is_topup and balance >= threshold and balance > 0
        far_enough = balance > 0 and balance >= (rearm_nanos(threshold) if may_empty else threshold)
        if topped_up_over or far_enough:
            may_low = may_empty = True
        elif step.is_topup and balance > 0:
            may_empty = True
        if balance <= 0:
            told += [(number, "balance.empty")] if may_empty else []
            may_low = may_empty = False
        elif balance < threshold and may_low:
            told.append((number, "balance.low"))
            may_low = False
    return told


@given(STEPS, THRESHOLDS)
def test_looked_at_after_every_step_it_tells_what_the_model_tells(steps: list[Step], threshold: int) -> None:
    assert walk(steps, threshold, set(range(len(steps)))) == model(steps, threshold)


@given(STEPS, THRESHOLDS, st.sets(st.integers(0, 40)))
def test_however_rarely_it_looks_every_wallet_below_was_told_of_since_it_was_well(
    steps: list[Step], threshold: int, looks_after: set[int]
) -> None:
    told = walk(steps, threshold, looks_after)
    balances = [sum(step.amount for step in steps[: number + 1]) for number in range(len(steps))]
    assert all(balances[number] < threshold or balances[number] <= 0 for number, _ in told)
    well = [number for number, balance in enumerate(balances) if balance > 0 and balance >= rearm_nanos(threshold)]
    if well and balances[-1] <= 0:
        assert any(kind == "balance.empty" for number, kind in told if number > well[-1])
    elif well and balances[-1] < threshold:
        assert any(number > well[-1] for number, _ in told)


@given(STEPS, THRESHOLDS, st.sets(st.integers(0, 40)))
def test_the_same_is_told_twice_only_with_a_rise_in_between(
    steps: list[Step], threshold: int, looks_after: set[int]
) -> None:
    told = walk(steps, threshold, looks_after)
    balances = [sum(step.amount for step in steps[: number + 1]) for number in range(len(steps))]
    lows = [number for number, kind in told if kind == "balance.low"]
    for first, second in itertools.pairwise(lows):
        between = range(first + 1, second + 1)
        assert any(balances[n] >= threshold for n in between)


@given(st.sampled_from(("ok", "low", "empty")), st.integers(-5, 20), THRESHOLDS)
def test_looking_twice_says_nothing_new(level: Level, balance: int, threshold: int) -> None:
    after, _ = judge(Look(level, balance, threshold))
    assert judge(Look(after, balance, threshold)) == (after, None)
