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


def table(title: str, rows: Mapping[str, Summary], base: str, adds: bool = False) -> str:
    """Markdown; the last column is each median divided by that of `base`, or what it `adds` to it."""
    sign = "−" if adds else "÷"  # noqa: RUF001 -- a minus sign
    lines = [f"### {title}", "", f"| | median | lowest | highest | {sign} {base} |", "|---|---:|---:|---:|---:|"]
    for name, row in rows.items():
        shown = against(row.median, rows[base].median, adds) if base in rows else ""
        lines.append(f"| {name} | {digits(row.median)} | {digits(row.lowest)} | {digits(row.highest)} | {shown} |")
    return "\n".join(lines) + "\n"


def against(value: float, base: float, adds: bool) -> str:
    if adds:
        return digits(value - base)
    divided = ratio(value, base)
    return "" if divided is None else f"{divided:.2f}"


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
