"""What is told of a run: notes, goals, tables, pictures."""

import json
import os
import subprocess
import sys
import sysconfig
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks import environments
from benchmarks.affinity import Plan
from benchmarks.figure import DIRECT, FAREBOX, By, Figure, Goal
from benchmarks.figures.unary import KEPT
from benchmarks.goals import Rows, goals_table, limit
from benchmarks.plots import groups
from benchmarks.stage import Size
from benchmarks.values import summary, table

DRAW_TIMEOUT_S = 120.0
# What load and upstream must manage of what the fastest contender does, or they are what was measured.
ROOM = 1.5
# What a quiet machine has to do by itself on a core is less.
QUIET_PERCENT = 5.0
CPU = "CPU and memory are the server's own, in Farebox's case the proxy's: not the ledger's, Postgres's and Valkey's"

Figures = Mapping[Figure, Rows]
Measured = Mapping[Figure, Mapping[str, Sequence[float]]]


def summaries(measured: Measured) -> Figures:
    return {figure: {name: summary(values) for name, values in rows.items()} for figure, rows in measured.items()}


def notes(size: Size, where: Plan, wrk: str | None, missing: Sequence[str]) -> list[str]:
    return [
        f"{'quick: these numbers mean little; ' if size.quick else ''}{size.repeats} repeats; median, lowest, highest",
        "ratios and differences: the median of those of each repeat",
        f"{os.cpu_count()} cores: {where}; {where.note}",
        f"Python {sys.version.split()[0]} ({environments.interpreter()}), built {built()}",
        f"plain requests are made by {'wrk' if wrk else 'our generator'}, all else by our generator",
        CPU,
        *(f"{name}: left out, it could not be had (--{name} PROGRAM)" for name in missing),
    ]


def built() -> str:
    """Optimised with a profile or not, which is worth a third."""
    if "--enable-optimizations" in (sysconfig.get_config_var("CONFIG_ARGS") or ""):
        return "with --enable-optimizations"
    if "deb_system" in sysconfig.get_scheme_names():
        return "by Debian, which optimises with a profile and does not name it in CONFIG_ARGS"
    return "without --enable-optimizations"


def books(audited: Sequence[int]) -> list[str]:
    """`audited`: the tokens of each run of Farebox; one whose books do not hold has ended everything."""
    if not audited:
        return []
    held = f"the audit held after each of {len(audited)} runs of Farebox"
    return [f"books: {held}, and the {sum(audited):,} tokens emitted were billed, no more and no less"]


def disturbances(figures: Figures) -> list[str]:
    """Told where somebody else was on the server's core so long that ratios are not to be trusted."""
    most = {name: row.highest for name, row in figures.get(KEPT, {}).items()}
    name = max(most, key=most.__getitem__, default="")
    if not name or most[name] <= QUIET_PERCENT:
        return []
    kept = f"{name} was kept from its core by somebody else for {most[name]:.0f} % of the time"
    return [f"**this machine was not quiet**, so do not trust the ratios: {kept}"]


def proofs(figures: Figures) -> list[str]:
    """How much more load and upstream manage with nothing between them than with the fastest contender."""
    told = []
    for figure, rows in figures.items():
        others = {name: row.median for name, row in rows.items() if name != DIRECT}
        if not figure.more_is_better or DIRECT not in rows or not others:
            continue
        fastest = max(others, key=others.__getitem__)
        room = rows[DIRECT].median / others[fastest]
        enough = "enough" if room >= ROOM else f"less than {ROOM}, so load and upstream held the fastest back"
        told.append(f"{figure.title}: direct is {room:.1f} times the fastest ({fastest}): {enough}")
    return told


def text(figures: Figures, told: Sequence[str], pictures: Sequence[str] = ()) -> str:
    """`pictures`: those that were drawn into performance/ beside the page, each shown before its first table."""
    parts, shown = [*(f"- {note}" for note in told), "", goals_table(figures)], set[str]()
    for figure, rows in figures.items():
        if figure.picture in pictures and figure.picture not in shown:
            parts.append(f"![{figure.picture}](performance/{figure.picture}.png)\n")
            shown.add(figure.picture)
        parts.append(table(f"{figure.title} ({figure.unit})", rows, figure.base, figure.adds))
    return "\n".join(parts)


def plain(figures: Figures) -> list[dict[str, Any]]:
    """For JSON, and for who draws."""
    return [
        {
            "title": figure.title,
            "unit": figure.unit,
            "picture": figure.picture,
            "limits": list(limits(figure, rows)),
            "ours": ours(figure, rows),
            "drawn": [name for name in rows if name != DIRECT or figure.base == DIRECT],
            "rows": {name: asdict(row) for name, row in rows.items()},
        }
        for figure, rows in figures.items()
    ]


def ours(figure: Figure, rows: Rows) -> list[str]:
    """What is called Farebox; where it is measured alone, all that is not the base."""
    called = [name for name in rows if name.startswith(FAREBOX)]
    return called or [name for name in rows if name != figure.base]


def limits(figure: Figure, rows: Rows) -> Iterator[dict[str, Any]]:
    """What must be reached and what is aimed at, of each goal that can be drawn, in the figure's unit."""
    for goal in figure.goals:
        for kind, bound in (("must", goal.must), ("aim", goal.aim)):
            if bound is not None and (value := limit(goal, bound, rows)) is not None:
                yield {"kind": kind, "label": f"{kind} {_label(figure, goal, bound)}", "value": value}


def _label(figure: Figure, goal: Goal, bound: float) -> str:
    sign, rest = "≥" if figure.more_is_better else "≤", f" + {goal.after}" if goal.after else ""
    told = {
        By.RATIO: f"{bound:g} × {goal.than}",  # noqa: RUF001 -- as it is drawn
        By.DIFFERENCE: f"{goal.than} + {bound:g} {figure.unit}",
        By.ITSELF: f"{bound:,g} {figure.unit}",
    }
    return f"{sign} {told[goal.by]}{rest}"


def draw(json_path: Path, folder: Path) -> list[str]:
    """The names of the pictures; none where the library that draws them cannot be had."""
    python = environments.program(environments.LOCKS / "plots.lock", "python")
    if python is None:
        return []
    folder.mkdir(parents=True, exist_ok=True)
    script = str(Path(__file__).with_name("plots.py"))
    subprocess.run([python, "-I", script, str(json_path), str(folder)], check=True, timeout=DRAW_TIMEOUT_S)  # noqa: S603 -- ours
    return [*groups(json.loads(json_path.read_text())["figures"])]
