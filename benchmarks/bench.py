"""make bench: Farebox and what it is compared with, in turn, in one run; see docs/PERFORMANCE.md.

    python -m benchmarks.bench [--quick] [--only FIGURE,...] [--contender NAME,...] [--json FILE] [--page FILE]

Every contender is started anew for each repeat and pinned to a core of its own. After each run of Farebox the audit
must hold and the tokens billed must be the tokens that the upstream emitted, or nothing is printed. A contender that
is neither given nor on PATH is installed into a folder of its own; what cannot be had is left out, and that is said.
"""

import asyncio
import json
import os
import resource
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import click

from benchmarks import environments, report, stack
from benchmarks.affinity import Plan, plan
from benchmarks.contenders import OTHERS
from benchmarks.figure import Compared, Measurement
from benchmarks.figures import MEASUREMENTS
from benchmarks.run import NAMES, Measured, Run
from benchmarks.stage import FULL, QUICK, Size, Stage
from benchmarks.values import between_markers
from runtime import logs

FIGURES = {measurement.name: measurement for measurement in MEASUREMENTS}


class Names(click.ParamType["list[str]"]):
    """Some of the known names, separated by commas; in the order they are known in."""

    name = "names"

    def __init__(self, known: Sequence[str]) -> None:
        self.known = known

    def convert(self, value: str, param: click.Parameter | None, context: click.Context | None) -> list[str]:
        given = value.split(",")
        for name in given:
            if name not in self.known:
                self.fail(f"{name!r} is none of {', '.join(self.known)}", param, context)
        return [name for name in self.known if name in given]


def programs(given: Mapping[str, str | None], needed: Sequence[str]) -> dict[str, str]:
    """Where each contender's program is, of those that can be had."""
    found = {name: given[name] or environments.contender(name) for name in needed}
    return {name: path for name, path in found.items() if path}


def needed(measurements: Sequence[Measurement], chosen: Sequence[str]) -> list[str]:
    """The contenders that must be had from elsewhere: none where only Farebox is measured."""
    is_compared = any(isinstance(measurement, Compared) for measurement in measurements)
    return [name for name in OTHERS if name in chosen and is_compared]


def written_to(page: Path, is_whole: bool) -> Path:
    """The page itself is of whole runs. Others get a copy, beside what they installed."""
    return page if is_whole else environments.FOLDER / page.name


def descriptors() -> int:
    """How many files a process may have open; raised as far as it goes, for the processes that this one starts."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    return most


async def run(
    size: Size, where: Plan, wrk: str | None, measurements: Sequence[Measurement], chosen: Sequence[str],
    found: dict[str, str],
) -> tuple[Measured, list[str]]:  # fmt: skip
    """The values, and what was noted meanwhile."""
    async with stack.ground(where) as ground:
        stage = Stage(ground, size, wrk or None, descriptors())
        measured = await Run(stage, chosen, found).whole(measurements)
        return measured, stage.notes + report.books(ground.audited)


@click.command(help=__doc__)
@click.option("--quick", is_flag=True, help="A few minutes: shows that it works, its numbers mean little.")
@click.option("--repeats", type=click.IntRange(min=1), help=f"How often; {FULL.repeats}, {QUICK.repeats} if quick.")
@click.option("--only", type=Names([*FIGURES]), help=f"Of: {', '.join(FIGURES)}.")
@click.option("--contender", type=Names(NAMES), help=f"Of: {', '.join(NAMES)}.")
@click.option("--nginx", help="An nginx program.")
@click.option("--envoy", help="An Envoy program.")
@click.option("--litellm", help="A LiteLLM program.")
@click.option("--wrk", default=shutil.which("wrk"), help='Makes the load of plain requests; with "" our own does.')
@click.option("--json", "json_path", type=click.Path(path_type=Path), default=Path("benchmark.json"))
@click.option(
    "--page", type=click.Path(exists=True, path_type=Path),
    help="A page with markers that the tables of a whole run are written into; of another, into a copy in .bench.",
)  # fmt: skip
def main(
    quick: bool,
    repeats: int | None,
    only: list[str] | None,
    contender: list[str] | None,
    wrk: str | None,
    json_path: Path,
    page: Path | None,
    **given: str | None,
) -> None:
    logs.configure("warning")
    size = QUICK if quick else FULL
    size = replace(size, repeats=repeats or size.repeats)
    where, chosen = plan(sorted(os.sched_getaffinity(0))), contender or NAMES
    measurements = [FIGURES[name] for name in only or FIGURES]
    wanted = needed(measurements, chosen)
    found = programs(given, wanted)
    measured, noted = asyncio.run(run(size, where, wrk, measurements, chosen, found))
    figures = report.summaries(measured)
    missing = [name for name in wanted if name not in found]
    notes = report.notes(size, where, wrk, missing) + noted + report.proofs(figures) + report.disturbances(figures)
    json_path.write_text(json.dumps({"notes": notes, "figures": report.plain(figures)}, indent=2))
    click.echo(report.text(figures, notes))
    if page:
        target = written_to(page, is_whole=not (quick or only or contender))
        pictures = report.draw(json_path, target.parent / "performance")
        target.write_text(between_markers(page.read_text(), report.text(figures, notes, pictures)))
        click.echo(f"written into {target}", err=True)


if __name__ == "__main__":
    main()
