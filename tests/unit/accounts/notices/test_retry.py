"""Waits double, are spread by dice, and come to an end."""

from hypothesis import given
from hypothesis import strategies as st

from accounts.notices.retry import FIRST_WAIT_S, LONGEST_WAIT_S, RetryPolicy, next_wait_s

POLICY = RetryPolicy()
DICE = st.floats(0, 1)


def test_the_longest_possible_waits_double_up_to_half_a_day() -> None:
    waits = [next_wait_s(POLICY, attempts, 0, 1.0) for attempts in range(1, 20)]
    doubled = [FIRST_WAIT_S * 2**n for n in range(13)]
    assert waits == [*doubled[:13], *[LONGEST_WAIT_S] * 6]


def test_all_waits_together_come_to_some_days() -> None:
    mean_s = sum(next_wait_s(POLICY, attempts, 0, 0.5) or 0 for attempts in range(1, 20))
    assert 1.5 * 86_400 < mean_s < 3 * 86_400


@given(st.integers(1, 200), st.floats(0, 1e7), DICE, st.one_of(st.none(), st.floats(0, 1e9)))
def test_a_wait_is_within_its_bounds_or_it_is_given_up(
    attempts: int, age_s: float, dice: float, asked_s: float | None
) -> None:
    wait_s = next_wait_s(POLICY, attempts, age_s, dice, asked_s)
    if attempts >= POLICY.max_attempts or age_s >= POLICY.max_age_s:
        assert wait_s is None
    else:
        assert wait_s is not None and 0 <= wait_s <= LONGEST_WAIT_S
        assert wait_s >= min(asked_s or 0, LONGEST_WAIT_S)


@given(st.integers(1, 10**6))
def test_any_number_of_attempts_is_no_trouble(attempts: int) -> None:
    assert next_wait_s(RetryPolicy(max_attempts=10**7), attempts, 0, 1.0) is not None
