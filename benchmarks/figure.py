"""What a figure is: how it is called, what Farebox is to reach, and how it is measured.

A module of `benchmarks/figures` has one or more `Figure`s and one measurement of them:

- `Compared`: asked of each contender while the others rest, once a repeat;
- `Alone`: once a repeat, with the stores and the upstream there and nothing else; it starts what it needs.

Both answer figure -> row -> value. Rows are contenders, or whatever else is compared.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import Enum

from benchmarks.stage import Contender, Stage

DIRECT, BARE, NGINX, ENVOY, LITELLM, FAREBOX = "direct", "bare aiohttp", "nginx", "Envoy", "LiteLLM", "Farebox"


class By(Enum):
    """How a row is held against another."""

    ITSELF = ""
    RATIO = "÷"
    DIFFERENCE = "−"  # noqa: RUF001 -- a minus sign, as it is printed


@dataclass(frozen=True)
class Goal:
    """`row`, less `after` if that is given, held against `than`. An `aim` of None: none in figures."""

    must: float
    aim: float | None
    by: By = By.ITSELF
    than: str = ""
    row: str = FAREBOX
    after: str = ""


def ratio(than: str, must: float, aim: float | None, row: str = FAREBOX, after: str = "") -> Goal:
    return Goal(must, aim, By.RATIO, than, row, after)


def difference(than: str, must: float, aim: float | None, row: str = FAREBOX) -> Goal:
    return Goal(must, aim, By.DIFFERENCE, than, row)


@dataclass(frozen=True, eq=False)
class Figure:
    """`base`: the row that its table divides by, or if it `adds`, takes off. Figures with the same `picture` are drawn
    in one; "" is not drawn."""

    title: str
    unit: str
    picture: str = ""
    base: str = BARE
    goals: tuple[Goal, ...] = ()
    more_is_better: bool = False
    adds: bool = False


Values = Mapping[Figure, Mapping[str, float]]


@dataclass(frozen=True, eq=False)
class Compared:
    """`slow_too`: a contender that manages a hundred requests a second can be asked as well."""

    name: str
    figures: tuple[Figure, ...]
    measure: Callable[[Stage, Contender], Awaitable[Values]]
    slow_too: bool = True


@dataclass(frozen=True, eq=False)
class Alone:
    name: str
    figures: tuple[Figure, ...]
    measure: Callable[[Stage], Awaitable[Values]]


Measurement = Compared | Alone
