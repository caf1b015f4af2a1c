"""Draws what a run measured: one picture for each group of figures, a panel for each figure.

PYTHON_WITH_MATPLOTLIB benchmarks/plots.py JSON FOLDER

A bar is the median; the line at its end goes from the lowest to the highest repeat; a dashed line is what must be
reached. It runs in an environment of its own, so it knows the JSON and nothing else of ours.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

OURS_COLOUR, OTHERS_COLOUR, TEXT_COLOUR, LIMIT_COLOUR = "#0b6e99", "#bcc5cc", "#333333", "#c0392b"
INCHES_WIDE, INCHES_PER_BAR, INCHES_OF_PANEL = 8.0, 0.34, 0.95
# Where one bar is so many times another, the short ones would not be seen: their axis is logarithmic.
LOGARITHMIC_FROM = 50
# Room for the values to the right of the bars.
MARGIN, LOGARITHMIC_MARGIN = 1.18, 2.5

Figure = Mapping[str, Any]


def groups(figures: Sequence[Figure]) -> dict[str, list[Figure]]:
    """Picture -> its figures, in the order they were measured in; what has no picture is not drawn."""
    drawn = (figure for figure in figures if figure["picture"])
    ordered = sorted(drawn, key=lambda figure: str(figure["picture"]))
    return {name: list(found) for name, found in groupby(ordered, key=lambda figure: str(figure["picture"]))}


def is_logarithmic(values: Sequence[float]) -> bool:
    return min(values) > 0 and max(values) / min(values) >= LOGARITHMIC_FROM


def label(value: float) -> str:
    """Three digits that count, and never fewer than the whole number has."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def strictest(figure: Figure) -> Mapping[str, Any] | None:
    """Of several limits the one that is hardest to keep; with ≥ the highest."""
    limits = figure["limits"]
    if not limits:
        return None
    hardest = max if "≥" in limits[0]["label"] else min
    found: Mapping[str, Any] = hardest(limits, key=lambda limit: limit["value"])
    return found


def panel(axes: Any, figure: Figure) -> None:
    rows, limit = figure["rows"], strictest(figure)
    medians = [row["median"] for row in rows.values()]
    below = [row["median"] - row["lowest"] for row in rows.values()]
    above = [row["highest"] - row["median"] for row in rows.values()]
    colours = [OURS_COLOUR if name in figure["ours"] else OTHERS_COLOUR for name in rows]
    spread = {"ecolor": TEXT_COLOUR, "elinewidth": 1, "capsize": 2.5}
    axes.barh(list(rows), medians, xerr=[below, above], color=colours, height=0.66, error_kw=spread, zorder=2)
    for place, row in enumerate(rows.values()):
        axes.annotate(
            label(row["median"]), (row["highest"], place), (5, 0), textcoords="offset points", va="center",
            fontsize=9, color=TEXT_COLOUR, bbox={"boxstyle": "square,pad=0.1", "fc": "white", "ec": "none"}, zorder=4,
        )  # fmt: skip
    reach(axes, [row["highest"] for row in rows.values()] + ([limit["value"]] if limit else []), medians)
    axes.invert_yaxis()
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0, labelsize=9.5, labelcolor=TEXT_COLOUR)
    axes.tick_params(axis="x", labelsize=8.5, labelcolor=TEXT_COLOUR)
    axes.set_title(f"{figure['title']} ({figure['unit']})", loc="left", fontsize=11, color=TEXT_COLOUR)
    if limit:
        axes.axvline(limit["value"], color=LIMIT_COLOUR, linestyle="--", linewidth=1.2, zorder=3)
        axes.set_title(limit["label"], loc="right", fontsize=9, color=LIMIT_COLOUR)


def reach(axes: Any, shown: Sequence[float], medians: Sequence[float]) -> None:
    """Sets the kind and the ends of the axis of values."""
    if is_logarithmic(medians):
        axes.set_xscale("log")
        axes.set_xlim(min(medians) / 2, max(shown) * LOGARITHMIC_MARGIN)
        axes.set_xlabel("log scale", loc="right", fontsize=8, color=TEXT_COLOUR)
    else:
        axes.set_xlim(min(0.0, *medians), max(shown) * MARGIN)
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:,g}")


def draw(figures: Sequence[Figure], path: Path) -> None:
    import matplotlib  # type: ignore[import-not-found,unused-ignore]  # of another environment

    matplotlib.use("Agg")
    from matplotlib import pyplot

    heights = [INCHES_OF_PANEL + INCHES_PER_BAR * len(figure["rows"]) for figure in figures]
    shape, panels = pyplot.subplots(
        len(figures), figsize=(INCHES_WIDE, sum(heights)), height_ratios=heights, squeeze=False, layout="constrained"
    )
    shape.get_layout_engine().set(h_pad=0.12)
    for axes, figure in zip(panels[:, 0], figures, strict=True):
        panel(axes, figure)
    shape.savefig(path, dpi=120, metadata={"Software": None})
    pyplot.close(shape)


def main(json_path: Path, folder: Path) -> None:
    for name, figures in groups(json.loads(json_path.read_text())["figures"]).items():
        draw(figures, folder / f"{name}.png")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
