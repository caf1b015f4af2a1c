"""Draws what a run measured: one picture for each group of figures, a panel for each figure.

PYTHON_WITH_MATPLOTLIB benchmarks/plots.py JSON FOLDER

A bar is the median; the line at its end goes from the lowest to the highest repeat; a dashed line is what must be
reached, a dotted one what is aimed at. Blue is Farebox, grey what it is held against. A bar of others that is far
longer than the rest is cut off, and that is drawn. This runs in an environment of its own, so it knows the JSON and
nothing else of ours.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

OURS_COLOUR, OTHERS_COLOUR, TEXT_COLOUR = "#0b6e99", "#bcc5cc", "#333333"
# How each bound is drawn: its colour, its line, and at which end of the second line of the title it is written.
BOUNDS = {"must": ("#c0392b", "--", "left"), "aim": ("#1e8449", ":", "right")}
HEIGHT = 0.66
INCHES_WIDE, INCHES_PER_BAR, INCHES_OF_PANEL, INCHES_OF_BOUNDS = 8.0, 0.34, 0.85, 0.25
# A bar so many times the next longest is cut off: beside it the others would not be seen.
CUT_FROM = 4
# Room for the values to the right of the bars.
MARGIN = 1.18

Figure = Mapping[str, Any]


def groups(figures: Sequence[Figure]) -> dict[str, list[Figure]]:
    """Picture -> its figures, in the order they were measured in; what has no picture is not drawn."""
    drawn = (figure for figure in figures if figure["picture"])
    ordered = sorted(drawn, key=lambda figure: str(figure["picture"]))
    return {name: list(found) for name, found in groupby(ordered, key=lambda figure: str(figure["picture"]))}


def end(values: Sequence[float]) -> float:
    """The longest bar that is drawn whole."""
    longest_first = sorted(values, reverse=True)
    while len(longest_first) > 1 and longest_first[0] > CUT_FROM * longest_first[1] > 0:
        longest_first.pop(0)
    return longest_first[0]


def label(value: float) -> str:
    """Three digits that count, and never fewer than the whole number has."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def strictest(figure: Figure) -> list[Mapping[str, Any]]:
    """Of several limits of a kind the one that is hardest to keep; with ≥ the highest."""
    kinds = [[limit for limit in figure["limits"] if limit["kind"] == kind] for kind in BOUNDS]
    return [
        (max if "≥" in limits[0]["label"] else min)(limits, key=lambda limit: float(limit["value"]))
        for limits in kinds
        if limits
    ]


def panel(axes: Any, figure: Figure) -> None:
    rows, limits = {name: figure["rows"][name] for name in figure["drawn"]}, strictest(figure)
    ours = [row["median"] for name, row in rows.items() if name in figure["ours"]]
    whole = max([end([row["median"] for row in rows.values()]), *ours])
    longest = [row["highest"] for row in rows.values() if row["median"] <= whole]
    width = MARGIN * max([*longest, *(limit["value"] for limit in limits)])
    for place, (name, row) in enumerate(rows.items()):
        colour = OURS_COLOUR if name in figure["ours"] else OTHERS_COLOUR
        if row["median"] > whole:
            cut_bar(axes, place, row, colour, width)
        else:
            bar(axes, place, row, colour)
    axes.set_xlim(0, width)
    axes.set_yticks(range(len(rows)), list(rows))
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,g}")
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0, labelsize=9.5, labelcolor=TEXT_COLOUR)
    axes.tick_params(axis="x", labelsize=8.5, labelcolor=TEXT_COLOUR)
    axes.set_title(
        f"{figure['title']} ({figure['unit']})", loc="left", fontsize=11, color=TEXT_COLOUR, pad=22 if limits else 6
    )
    for limit in limits:
        bound(axes, limit)


def bound(axes: Any, limit: Mapping[str, Any]) -> None:
    colour, line, side = BOUNDS[limit["kind"]]
    axes.axvline(limit["value"], color=colour, linestyle=line, linewidth=1.4, zorder=3)
    axes.annotate(
        limit["label"], (0 if side == "left" else 1, 1), (0, 6), xycoords="axes fraction", textcoords="offset points",
        ha=side, fontsize=9, color=colour,
    )  # fmt: skip


def bar(axes: Any, place: int, row: Mapping[str, float], colour: str) -> None:
    spread = [[row["median"] - row["lowest"]], [row["highest"] - row["median"]]]
    style = {"ecolor": TEXT_COLOUR, "elinewidth": 1, "capsize": 2.5}
    axes.barh(place, row["median"], xerr=spread, color=colour, height=HEIGHT, error_kw=style, zorder=2)
    axes.annotate(
        label(row["median"]), (row["highest"], place), (6, 0), textcoords="offset points", va="center", fontsize=9,
        color=TEXT_COLOUR, bbox={"boxstyle": "square,pad=0.1", "fc": "white", "ec": "none"}, zorder=4,
    )  # fmt: skip


def cut_bar(axes: Any, place: int, row: Mapping[str, float], colour: str, width: float) -> None:
    """Over the whole width, with a gap in it and its value inside."""
    axes.barh(place, width, color=colour, height=HEIGHT, zorder=2)
    gap = [0.955 * width, 0.965 * width]
    axes.fill_betweenx(
        [place - HEIGHT / 2, place + HEIGHT / 2], [gap[0], gap[0] + 0.01 * width], [gap[1], gap[1] + 0.01 * width],
        color="white", zorder=3,
    )  # fmt: skip
    axes.annotate(
        f"{label(row['median'])}, cut off", (gap[0], place), (-6, 0), textcoords="offset points", va="center",
        ha="right", fontsize=9, color=TEXT_COLOUR, zorder=4,
    )  # fmt: skip


def draw(figures: Sequence[Figure], path: Path) -> None:
    import matplotlib  # type: ignore[import-not-found,unused-ignore]  # of another environment

    matplotlib.use("Agg")
    from matplotlib import pyplot

    heights = [
        INCHES_OF_PANEL + INCHES_PER_BAR * len(figure["drawn"]) + INCHES_OF_BOUNDS * bool(figure["limits"])
        for figure in figures
    ]
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
