"""What Farebox reached of its goals; pure."""

from collections.abc import Iterator, Mapping

from benchmarks.figure import By, Figure, Goal
from benchmarks.values import Summary, by_repeat, digits, ratio

Rows = Mapping[str, Summary]


def needs(goal: Goal) -> set[str]:
    return {goal.row, goal.than, goal.after} - {""}


def reached(goal: Goal, rows: Rows) -> float | None:
    """By repeats; None if a row was not measured, or is 0 and would be divided by."""
    if not needs(goal) <= rows.keys():
        return None

    def held(value: float, after: float, than: float) -> float | None:
        return ratio(value - after, than) if goal.by is By.RATIO else value - after - than

    values = rows[goal.row].values
    zeros = (0.0,) * len(values)
    after, than = (rows[name].values if name else zeros for name in (goal.after, goal.than))
    return by_repeat(held, values, after, than)


def limit(goal: Goal, bound: float, rows: Rows) -> float | None:
    """What the row's own value must be for the goal to reach `bound`; None if a row was not measured."""
    if not needs(goal) - {goal.row} <= rows.keys():
        return None
    than, after = _median(rows, goal.than), _median(rows, goal.after)
    return (bound * than if goal.by is By.RATIO else bound + than) + after


def _median(rows: Rows, name: str) -> float:
    return rows[name].median if name else 0.0


def title(figure: Figure, goal: Goal) -> str:
    """E.g. `Plain requests: Farebox ÷ nginx`."""
    row = f"({goal.row} − {goal.after})" if goal.after else goal.row  # noqa: RUF001 -- a minus sign
    return f"{figure.title}: {' '.join(filter(None, (row, goal.by.value, goal.than)))}"


def verdict(goal: Goal, value: float | None, more_is_better: bool) -> str:
    if value is None:
        return "not measured"
    for bound, told in ((goal.aim, "met, and the aim"), (goal.must, "met")):
        if bound is not None and (value >= bound if more_is_better else value <= bound):
            return told
    return "**not met**"


def goals_table(figures: Mapping[Figure, Rows]) -> str:
    """Markdown: a line for each goal of the figures that were measured."""
    lines = ["### Goals", "", "| | must | aim | reached | |", "|---|---:|---:|---:|---|"]
    return "\n".join([*lines, *(line for figure, rows in figures.items() for line in _lines(figure, rows))]) + "\n"


def _lines(figure: Figure, rows: Rows) -> Iterator[str]:
    sign = "≥" if figure.more_is_better else "≤"
    for goal in figure.goals:
        value, unit = reached(goal, rows), "" if goal.by is By.RATIO else f" {figure.unit}"
        shown = "" if value is None else f"{digits(value)}{unit}"
        aim = "" if goal.aim is None else f"{sign} {goal.aim:,g}{unit}"
        told = verdict(goal, value, figure.more_is_better)
        yield f"| {title(figure, goal)} | {sign} {goal.must:,g}{unit} | {aim} | {shown} | {told} |"
