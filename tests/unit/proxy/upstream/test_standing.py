"""What is held against a server: failures in a row, health checks, what it asked for itself; and a simple model."""

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.upstream.standing import Change, Fault, Fitness, Standing, Tolerance

TOLERANCE = Tolerance(failures=3, open_ms=100, bad_checks=2, good_checks=2)


def opened(fault: Fault = Fault.UNANSWERED, at_ms: int = 0) -> Standing:
    standing = Standing(TOLERANCE)
    for _ in range(TOLERANCE.failures):
        standing.failed(fault, at_ms)
    return standing


def test_a_new_server_is_good() -> None:
    standing = Standing()
    assert (standing.is_clear, standing.is_open, standing.is_down) == (True, False, False)
    assert standing.fitness(0) is Fitness.GOOD


def test_failures_in_a_row_open_and_one_that_does_not_come_in_a_row_does_not() -> None:
    standing = Standing(TOLERANCE)
    for _ in range(TOLERANCE.failures - 1):
        standing.failed(Fault.UNANSWERED, 0)
    assert (standing.is_clear, standing.fitness(0)) == (False, Fitness.GOOD), "it is not open yet"
    standing.succeeded()
    assert (standing.is_clear, standing.fitness(0)) == (True, Fitness.GOOD)
    standing.failed(Fault.UNANSWERED, 0)
    assert standing.fitness(0) is Fitness.GOOD
    assert opened().fitness(0) is Fitness.OUT


def test_it_half_opens_for_one_request_at_a_time_and_closes_on_success() -> None:
    standing = opened(at_ms=1_000)
    assert (standing.fitness(1_099), standing.retry_after_ms(1_060)) == (Fitness.OUT, 40)
    assert standing.fitness(1_100) is Fitness.ON_TRIAL
    standing.begin_trial(1_100)
    assert standing.fitness(1_199) is Fitness.OUT, "one is under way"
    assert standing.fitness(1_200) is Fitness.ON_TRIAL, "of which nothing was heard"
    standing.begin_trial(1_200)
    standing.failed(Fault.UNANSWERED, 1_210)
    assert standing.fitness(1_299) is Fitness.OUT
    standing.begin_trial(1_300)
    standing.succeeded()
    assert standing.fitness(1_301) is Fitness.GOOD and standing.is_clear and standing.retry_after_ms(1_301) == 0


def test_who_answers_with_errors_is_better_than_nobody() -> None:
    assert opened(Fault.ANSWERED).fitness(0) is Fitness.POOR
    standing = opened(Fault.ANSWERED)
    standing.failed(Fault.UNANSWERED, 0)
    assert standing.fitness(0) is Fitness.OUT


def test_no_number_of_failures_opens_where_none_is_to() -> None:
    standing = Standing(Tolerance(failures=0))
    for _ in range(100):
        standing.failed(Fault.UNANSWERED, 0)
    assert standing.is_clear and not standing.is_open and standing.fitness(0) is Fitness.GOOD


def test_bad_checks_in_a_row_put_down_and_good_ones_bring_up() -> None:
    changes: list[Change] = []
    standing = Standing(TOLERANCE, changes.append)
    for is_well in (False, True, False):
        standing.checked(is_well)
    assert standing.fitness(0) is Fitness.GOOD
    standing.checked(False)
    assert (standing.is_clear, standing.fitness(0)) == (False, Fitness.OUT)
    for is_well in (True, False, True):
        standing.checked(is_well)
    assert (standing.is_clear, standing.fitness(0)) == (False, Fitness.OUT)
    standing.checked(True)
    assert (standing.is_clear, standing.fitness(0)) == (True, Fitness.GOOD)
    assert changes == [Change.DOWN, Change.UP]


def test_what_changed_is_told_once() -> None:
    changes: list[Change] = []
    standing = Standing(TOLERANCE, changes.append)
    for _ in range(2 * TOLERANCE.failures):
        standing.failed(Fault.UNANSWERED, 0)
    standing.succeeded()
    standing.succeeded()
    assert changes == [Change.BREAKER_OPENED, Change.BREAKER_CLOSED]


def test_a_check_does_not_close_the_breaker_nor_a_request_bring_a_server_up() -> None:
    standing = opened()
    standing.checked(True)
    assert standing.fitness(0) is Fitness.OUT
    for _ in range(TOLERANCE.bad_checks):
        standing.checked(False)
    standing.succeeded()
    assert standing.is_down and standing.fitness(0) is Fitness.OUT


def test_who_asked_to_be_left_alone_is_asked_last_until_then_whatever_else_it_answers() -> None:
    standing = Standing(TOLERANCE)
    standing.rest(1_000)
    standing.rest(400)
    standing.succeeded()
    assert (standing.is_clear, standing.fitness(999)) == (False, Fitness.POOR)
    assert standing.retry_after_ms(999) == 0, "nobody is kept from asking it"
    assert standing.fitness(1_000) is Fitness.GOOD and standing.is_clear


def test_rest_heals_nobody() -> None:
    standing = opened()
    standing.rest(10)
    assert standing.fitness(0) is standing.fitness(10) is Fitness.OUT and not standing.is_clear


@dataclass
class Model:
    """Everything that ever happened, looked through anew each time."""

    faults: list[Fault] = field(default_factory=list)  # since the last success
    last_try_ms: int = 0  # when it opened, or was tried last
    checks: list[bool] = field(default_factory=list)
    rests: list[int] = field(default_factory=list)  # until when

    def fitness(self, now_ms: int) -> Fitness:
        if self._is_down():
            return Fitness.OUT
        if len(self.faults) < TOLERANCE.failures:
            return Fitness.POOR if self.rests_at(now_ms) else Fitness.GOOD
        if now_ms - self.last_try_ms >= TOLERANCE.open_ms:
            return Fitness.ON_TRIAL
        return Fitness.POOR if self.faults[-1] is Fault.ANSWERED else Fitness.OUT

    def rests_at(self, now_ms: int) -> bool:
        return any(now_ms < until_ms for until_ms in self.rests)

    def _is_down(self) -> bool:
        is_down, against = False, 0
        for is_well in self.checks:
            against = against + 1 if is_well is is_down else 0
            if against == (TOLERANCE.good_checks if is_down else TOLERANCE.bad_checks):
                is_down, against = not is_down, 0
        return is_down


STEPS = st.sampled_from(["failed", "failed", "refused", "succeeded", "well", "ill", "tried", "rest"])


@given(st.lists(st.tuples(STEPS, st.integers(0, 60)), max_size=60))
def test_it_agrees_with_a_model_that_forgets_nothing(steps: list[tuple[str, int]]) -> None:
    standing, model, now_ms = Standing(TOLERANCE), Model(), 0
    for step, passed_ms in steps:
        now_ms += passed_ms
        if step in ("failed", "refused"):
            fault = Fault.UNANSWERED if step == "failed" else Fault.ANSWERED
            standing.failed(fault, now_ms)
            model.faults.append(fault)
            if len(model.faults) == TOLERANCE.failures:
                model.last_try_ms = now_ms
        elif step == "succeeded":
            standing.succeeded()
            model.faults.clear()
        elif step == "tried" and standing.fitness(now_ms) is Fitness.ON_TRIAL:
            standing.begin_trial(now_ms)
            model.last_try_ms = now_ms
        elif step in ("well", "ill"):
            standing.checked(step == "well")
            model.checks.append(step == "well")
        elif step == "rest":
            standing.rest(now_ms + 2 * passed_ms)
            model.rests.append(now_ms + 2 * passed_ms)
        assert standing.fitness(now_ms) is model.fitness(now_ms)
        assert standing.is_clear == (not model.faults and not standing.is_down and not model.rests_at(now_ms))


@pytest.mark.parametrize("better, worse", [(Fitness.GOOD, Fitness.ON_TRIAL), (Fitness.POOR, Fitness.OUT)])
def test_fitness_is_in_order(better: Fitness, worse: Fitness) -> None:
    assert better < worse
