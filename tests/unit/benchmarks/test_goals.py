"""What is held against the goals."""

import pytest

from benchmarks.figure import BARE, FAREBOX, NGINX, By, Figure, Goal, difference, ratio
from benchmarks.figures import MEASUREMENTS
from benchmarks.goals import goals_table, limit, reached, title, verdict
from benchmarks.values import Summary, summary

ROWS: dict[str, Summary] = {
    FAREBOX: summary([200.0, 300.0, 310.0]),
    BARE: summary([200.0] * 3),
    NGINX: summary([0.0] * 3),
    "a parse": summary([100.0] * 3),
}
RATIO = ratio(BARE, must=1.3, aim=2.0)


@pytest.mark.parametrize(
    ("goal", "value"),
    [
        (RATIO, 1.5),
        (difference(BARE, must=120, aim=50), 100.0),
        (ratio(BARE, must=2, aim=None, after="a parse"), 1.0),
        (Goal(must=40, aim=15), 300.0),
        (Goal(must=40, aim=15, row=BARE), 200.0),
    ],
)
def test_a_figure_is_held_against_others_by_the_median_of_the_repeats(goal: Goal, value: float) -> None:
    assert reached(goal, ROWS) == value


def test_what_slows_all_of_a_repeat_slows_no_ratio_and_a_row_may_have_fewer_repeats() -> None:
    rows = {FAREBOX: summary([30.0, 300.0, 3.0]), BARE: summary([20.0, 100.0, 2.0]), NGINX: summary([10.0])}
    assert reached(RATIO, rows) == 1.5
    assert reached(ratio(NGINX, must=1, aim=None), rows) == 3.0
    assert reached(difference(BARE, must=1, aim=None), rows) == 10.0


@pytest.mark.parametrize(
    ("goal", "value"),
    [
        (RATIO, 260.0),
        (difference(BARE, must=120, aim=50), 320.0),
        (ratio(BARE, must=2, aim=None, after="a parse"), 500.0),
        (Goal(must=40, aim=15), 40.0),
    ],
)
def test_the_limit_is_the_value_with_which_a_goal_is_just_met(goal: Goal, value: float) -> None:
    assert limit(goal, goal.must, ROWS) == value
    assert reached(goal, ROWS | {FAREBOX: summary([value] * 3)}) == pytest.approx(goal.must)


def test_what_was_not_measured_is_neither_met_nor_missed() -> None:
    assert reached(ratio("Envoy", 1, 1), ROWS) is None
    assert reached(ratio(NGINX, 1, 1), ROWS) is None, "nothing is divided by 0"
    assert limit(ratio("Envoy", 1, 1), 1, ROWS) is None
    assert verdict(RATIO, None, more_is_better=True) == "not measured"


@pytest.mark.parametrize(
    ("more_is_better", "value", "told"),
    [
        (True, 2.0, "met, and the aim"), (True, 1.3, "met"), (True, 1.29, "**not met**"),
        (False, 1.3, "met, and the aim"), (False, 2.0, "met"), (False, 2.01, "**not met**"),
    ],
)  # fmt: skip
def test_a_bound_itself_is_met(more_is_better: bool, value: float, told: str) -> None:
    must, aim = (1.3, 2.0) if more_is_better else (2.0, 1.3)
    assert verdict(ratio(BARE, must, aim), value, more_is_better) == told


def test_without_an_aim_there_is_none_to_meet() -> None:
    assert verdict(Goal(must=2, aim=None), 1.0, more_is_better=False) == "met"
    assert verdict(Goal(must=2, aim=None), 3.0, more_is_better=False) == "**not met**"


def test_the_table_has_a_line_for_each_goal() -> None:
    figure = Figure("Requests", "requests/s", "a", goals=(RATIO, Goal(250, None)), more_is_better=True)
    lines = goals_table({figure: ROWS}).splitlines()
    assert f"| Requests: {FAREBOX} ÷ {BARE} | ≥ 1.3 | ≥ 2 | 1.5 | met |" in lines
    assert f"| Requests: {FAREBOX} | ≥ 250 requests/s |  | 300 requests/s | met |" in lines


def test_what_is_taken_off_first_is_told() -> None:
    told = title(Figure("Prompts", "µs", "a"), ratio(NGINX, 2, None, after="a parse"))
    assert told.startswith(f"Prompts: ({FAREBOX} ") and told.endswith(f"a parse) {By.RATIO.value} {NGINX}")


def test_each_measurement_has_a_name_of_its_own_and_goals_that_make_sense() -> None:
    assert len({measurement.name for measurement in MEASUREMENTS}) == len(MEASUREMENTS)
    assert all(measurement.figures for measurement in MEASUREMENTS)
    for figure in (figure for measurement in MEASUREMENTS for figure in measurement.figures):
        for goal in figure.goals:
            assert bool(goal.than) == (goal.by is not By.ITSELF), figure.title
            if goal.aim is not None:
                assert goal.aim >= goal.must if figure.more_is_better else goal.aim <= goal.must, figure.title
