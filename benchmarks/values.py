"""What is made of measured values: percentiles, medians, spread, ratios, a table."""

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import sub

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
    values: tuple[float, ...]


def summary(values: Sequence[float]) -> Summary:
    return Summary(statistics.median(values), min(values), max(values), tuple(values))


def ratio(value: float, base: float) -> float | None:
    return value / base if base else None


def by_repeat(held: Callable[..., float | None], *rows: Sequence[float]) -> float | None:
    """The median of what each repeat makes of its values. A repeat takes a minute or two, and a machine that others
    use is another one an hour later: what both rows lost to them is lost in between. None: one repeat makes nothing."""
    found = [held(*values) for values in zip(*rows, strict=False)]
    told = [value for value in found if value is not None]
    return statistics.median(told) if told and len(told) == len(found) else None


def table(title: str, rows: Mapping[str, Summary], base: str, adds: bool = False) -> str:
    """Markdown; the last column is each row ÷ `base`, or what it `adds` to it, by repeats, if that is there."""
    sign, is_held = "−" if adds else "÷", base in rows  # noqa: RUF001 -- a minus sign
    lines = [_line(["", "median", "lowest", "highest"] + [f"{sign} {base}"] * is_held)]
    lines.append(_line(["---"] + ["---:"] * (3 + is_held)))
    for name, row in rows.items():
        last = [against(row, rows[base], adds)] if is_held else []
        lines.append(_line([name, *map(digits, (row.median, row.lowest, row.highest)), *last]))
    return "\n".join([f"### {title}", "", *lines]) + "\n"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def against(row: Summary, base: Summary, adds: bool) -> str:
    found = by_repeat(sub if adds else ratio, row.values, base.values)
    if found is None:
        return ""
    return digits(found) if adds else f"{found:.2f}"


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
