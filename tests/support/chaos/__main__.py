"""The long run: `python -m tests.support.chaos --seed 1 --schedules 300`. A failing seed is printed and replays.

Schedules are played on a few rigs side by side; each prints a line, and the table comes at the end. The exit code is 1
if a promise was broken.
"""

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from runtime import logs
from tests.support.chaos.report import Outcome, failure, summary
from tests.support.chaos.rig import make_rig
from tests.support.chaos.run import play
from tests.support.chaos.schedule import Topology, make_schedule
from tests.support.chaos.visits import CLIENTS


@click.command()
@click.option("--seed", type=int, default=1, show_default=True, help="Of the first schedule; the others follow it.")
@click.option("--schedules", type=click.IntRange(1, 100_000), default=1, show_default=True)
@click.option("--rigs", type=click.IntRange(1, 16), default=1, show_default=True, help="Played side by side.")
@click.option("--proxies", type=click.IntRange(1, 3), default=2, show_default=True)
@click.option("--ledgers", type=click.IntRange(1, 2), default=2, show_default=True)
@click.option("--clients", type=click.IntRange(1, 200), default=CLIENTS, show_default=True)
@click.option("--without", multiple=True, help="A kind of fault to leave out, such as proxy.kill; may be repeated.")
@click.option("--show", is_flag=True, help="Print the schedules and play none.")
@click.option("--failures", type=click.Path(path_type=Path), help="Append what failed to this file, too.")
def main(
    seed: int,
    schedules: int,
    rigs: int,
    proxies: int,
    ledgers: int,
    clients: int,
    without: Sequence[str],
    show: bool,
    failures: Path | None,
) -> None:
    """Play schedules of faults against the whole program, and say what was lost."""
    topology = Topology(proxies, ledgers)
    seeds = range(seed, seed + schedules)
    if show:
        for number in seeds:
            click.echo(make_schedule(number, topology, without))
        return
    logs.configure("error")
    found = asyncio.run(_play_all(seeds, topology, rigs, clients, without, failures))
    click.echo(summary(found))
    sys.exit(0 if all(outcome.verdict.holds for outcome in found) else 1)


async def _play_all(
    seeds: range, topology: Topology, rigs: int, clients: int, without: Sequence[str], failures: Path | None
) -> list[Outcome]:
    left, found = iter(seeds), list[Outcome]()
    options = f"--proxies {topology.proxies} --ledgers {topology.ledgers} --clients {clients}"

    async def work() -> None:
        async with make_rig(topology) as rig:
            for seed in left:
                outcome = await play(rig, make_schedule(seed, topology, without), clients)
                found.append(outcome)
                command = f"python -m tests.support.chaos --seed {seed} {options}"
                command += "".join(f" --without {name}" for name in without)
                _tell(outcome, command, failures)

    await asyncio.gather(*(work() for _ in range(min(rigs, len(seeds)))))
    return sorted(found, key=lambda outcome: outcome.schedule.seed)


def _tell(outcome: Outcome, command: str, failures: Path | None) -> None:
    names = ", ".join(fault.name for fault in outcome.schedule.faults) or "no faults"
    lost = sum(loss.tokens for loss in outcome.verdict.losses)
    word = "ok" if outcome.verdict.holds else "FAILED"
    receipts = len(outcome.facts.receipts)
    click.echo(f"{word:<6} seed {outcome.schedule.seed:<6} {receipts} requests, {lost} tokens lost: {names}")
    if not outcome.verdict.holds:
        told = failure(outcome, command)
        click.echo(told)
        if failures is not None:
            with failures.open("a") as file:
                file.write(told + "\n\n")


if __name__ == "__main__":
    main()
