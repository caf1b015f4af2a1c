"""What is made of measured values: percentiles, medians, spread, ratios, a table."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

BEGIN = "<!-- benchmark:begin -->"
END = "<!-- benchmark:end -->"


def percentile(values: Sequence[float], percent: float) -> float:
    """The nearest rank: a value that was measured, none in between. No values: ValueError."""
    if not values:
        raise ValueError("no values")
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


@dataclass(frozen=True)
class Summary:
    """One row of a figure over all repeats."""

    median: float
    lowest: float
    highest: float


def summary(values: Sequence[float]) -> Summary:
    return Summary(statistics.median(values), min(values), max(values))


def ratio(value: float, base: float) -> float | None:
    return value / base if base else None


def table(title: str, rows: Mapping[str, Summary], base: str) -> str:
    """Markdown; the last column is each median against that of `base`, where it was measured."""
    lines = [f"### {title}", "", f"| | median | lowest | highest | ÷ {base} |", "|---|---:|---:|---:|---:|"]
    for name, row in rows.items():
        against = ratio(row.median, rows[base].median) if base in rows else None
        shown = "" if against is None else f"{against:.2f}"
        lines.append(f"| {name} | {digits(row.median)} | {digits(row.lowest)} | {digits(row.highest)} | {shown} |")
    return "\n".join(lines) + "\n"


def digits(value: float) -> str:
    """Three that count, and never fewer than the whole number has."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def between_markers(page: str, text: str) -> str:
    """`page` with `text` between its markers; without markers: ValueError."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError("the page has no markers")
    return f"{before}{BEGIN}\n{text.strip()}\n{END}{after}"
