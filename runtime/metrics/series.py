"""Counters, gauges and histograms as plain integers, to be written many thousand times a second and read now and then.

prometheus_client's own take a lock and a few calls at each step; these take a look-up in a dictionary. They belong to
one process and its one event loop: no lock is needed. Values are whole numbers of a small unit (`per_unit` of them make
one of the unit that Prometheus is told), so that sums are exact and money never is a float in here.

Label values must come from a set that the operator or the program bounds; where they do not, see `Bounded`.
"""

from bisect import bisect_left
from collections.abc import Sequence
from typing import Literal

Labels = tuple[str, ...]
OTHER = "other"
MICROSECONDS = 1_000_000
MILLISECONDS = 1_000
NANOS = 1_000_000_000


class Counter:
    """Only grows. `name` as Prometheus has it, with `_total`."""

    kind: Literal["counter"] = "counter"

    def __init__(self, name: str, help_text: str, labels: Labels = (), *, per_unit: int = 1) -> None:
        self.name, self.help_text, self.labels, self.per_unit = name, help_text, labels, per_unit
        self.values: dict[Labels, int] = {} if labels else {(): 0}

    def add(self, labels: Labels, amount: int = 1) -> None:
        """Who counts for every request writes to `values` itself, and saves the call."""
        self.values[labels] = self.values.get(labels, 0) + amount


class Gauge:
    """What is so now. `across`: of several workers, their sum, or the largest."""

    kind: Literal["gauge"] = "gauge"

    def __init__(
        self,
        name: str,
        help_text: str,
        labels: Labels = (),
        *,
        per_unit: int = 1,
        across: Literal["sum", "max"] = "sum",
    ) -> None:
        self.name, self.help_text, self.labels, self.per_unit = name, help_text, labels, per_unit
        self.across = across
        self.values: dict[Labels, int] = {}

    def put(self, value: int, labels: Labels = ()) -> None:
        self.values[labels] = value


class Histogram:
    """How often a value was at most so much. `bounds` are in the small unit, ascending.

    A row has a place for each bound, one for what is above all of them, and the sum.
    """

    kind: Literal["histogram"] = "histogram"

    def __init__(
        self, name: str, help_text: str, labels: Labels = (), *, bounds: Sequence[int], per_unit: int = MICROSECONDS
    ) -> None:
        self.name, self.help_text, self.labels, self.per_unit = name, help_text, labels, per_unit
        self.bounds = tuple(bounds)
        self.values: dict[Labels, list[int]] = {}
        if not labels:
            self.row(())

    def row(self, labels: Labels) -> list[int]:
        """The row of these labels, made where it is missing."""
        row = self.values.get(labels)
        if row is None:
            row = self.values[labels] = [0] * (len(self.bounds) + 2)
        return row

    def observe(self, labels: Labels, value: int) -> None:
        row = self.row(labels)
        row[bisect_left(self.bounds, value)] += 1
        row[-1] += value


Metric = Counter | Gauge | Histogram


class Bounded:
    """Label values from a set that others choose: the first `most` have their name, what comes later is `other`.

    Once counted, a name stays: its series would otherwise end and begin again.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.known: dict[str, str] = {}

    def __len__(self) -> int:
        return len(self.known)

    def label(self, name: str) -> str:
        known = self.known.get(name)
        if known is not None:
            return known
        if len(self.known) >= self.most:
            return OTHER
        return self.known.setdefault(name, name)
