"""make bench: Farebox and what it is compared with, in turn, in one run; see docs/PERFORMANCE.md.

    python -m benchmarks.bench [--quick] [--nginx PROGRAM] [--json FILE] [--page FILE]

Every contender is started anew for each repeat and pinned to a core of its own. After each run of Farebox the audit
must hold and the tokens billed must be the tokens that the upstream emitted, or nothing is printed.
"""

import asyncio
import json
import os
import shutil
import sys
from collections import defaultdict
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click

from benchmarks import stack
from benchmarks.affinity import Plan, pinned, plan
from benchmarks.ledger_posting import ledger_figures
from benchmarks.numbers import Figure, between_markers, figure, table
from benchmarks.stack import Contender

UNARY, CHUNK, FIRST_50, FIRST_99 = "unary requests/s", "CPU µs per chunk", "first token p50 ms", "first token p99 ms"
# Tells whether the server was short of its core or waited for others.
REQUEST = "CPU µs per unary request"
GAP_99, MEMORY, LEDGER = "gap between chunks p99 ms", "memory per open stream KiB", "ledger events/s"
BASES = {LEDGER: "one transaction per debit"}
GAP_MS = 20.0

Measured = dict[str, dict[str, list[float]]]  # figure -> contender -> one value a repeat


@dataclass(frozen=True)
class Size:
    repeats: int
    seconds: float
    streams: int
    chunks: int
    events: int
    first_rate: float


QUICK = Size(repeats=1, seconds=2, streams=100, chunks=100, events=5_000, first_rate=300)
FULL = Size(repeats=5, seconds=5, streams=400, chunks=300, events=50_000, first_rate=1_000)


async def load(at: Contender, where: Plan, **asked: Any) -> dict[str, float]:
    with pinned(where.load):
        process = await asyncio.create_subprocess_exec(
            *stack.python("benchmarks.load", at.url, at.key, json.dumps(asked)), stdout=asyncio.subprocess.PIPE
        )
    told, _ = await process.communicate()
    if process.returncode:
        raise click.ClickException("the load generator failed")
    found: dict[str, float] = json.loads(told)
    return found


async def measure(at: Contender, where: Plan, size: Size) -> dict[str, float]:
    """All figures of one contender, once; figure -> value."""
    # Streams first: memory that unary requests have used and left would hide what the open streams take.
    await load(at, where, kind="unary", connections=1, seconds=0.2)  # warm: the key, code, caches
    cpu, memory = at.cpu_s(), at.memory_bytes()
    running = asyncio.create_task(  # noqa: TID251 -- awaited a few lines below
        load(at, where, kind="streams", connections=size.streams, chunks=size.chunks, gap_ms=GAP_MS)
    )
    await asyncio.sleep(0.75 * size.chunks * GAP_MS / 1000)
    grown = at.memory_bytes() - memory
    streams = await running
    cpu_s = at.cpu_s() - cpu
    await load(at, where, kind="unary", connections=64, seconds=0.5)  # warm: keys, connections, caches
    unary_cpu = at.cpu_s()
    unary = await load(at, where, kind="unary", connections=64, seconds=size.seconds)
    unary_cpu = at.cpu_s() - unary_cpu
    first = await load(at, where, kind="first", connections=128, rate=size.first_rate, seconds=size.seconds)
    found = {UNARY: unary["per_s"], FIRST_50: first["p50_ms"], FIRST_99: first["p99_ms"], GAP_99: streams["gap_p99_ms"]}
    if at.pid is not None:
        found[REQUEST] = 1e6 * unary_cpu / unary["requests"]
        found[CHUNK] = 1e6 * cpu_s / streams["chunks"]
        found[MEMORY] = grown / 1024 / size.streams
    return found


async def whole_run(size: Size, where: Plan, nginx: str | None) -> Measured:
    measured: Measured = defaultdict(lambda: defaultdict(list))

    def note(name: str, values: dict[str, float]) -> None:
        for title, value in values.items():
            measured[title][name].append(value)

    async with stack.scratch() as folder, stack.servers(folder, where) as (database, redis):
        port = stack.free_port()
        url = f"http://127.0.0.1:{port}"
        argv = stack.python("benchmarks.upstream", str(port))
        async with (
            stack.child("upstream", argv, port, folder, where.upstream),
            stack.farebox(database, redis, url, folder, where) as running,
        ):
            for _ in range(size.repeats):
                for name, start in contenders(url, folder, where, nginx).items():
                    async with start as at:
                        note(name, await measure(at, where, size))
                before = stack.books(url)["tokens"] - await stack.billed_tokens(database)
                async with stack.proxy(running, folder, where) as at:
                    note("Farebox", await measure(at, where, size))
                await running.office.settled()  # the audit holds, or this raises
                after = stack.books(url)["tokens"] - await stack.billed_tokens(database)
                if before != after:
                    raise click.ClickException(f"{after - before} tokens were emitted and not billed")
        for name, value in (await ledger_figures(database, redis, folder, where, size.events)).items():
            measured[LEDGER][name].append(value)
    return measured


def contenders(
    url: str, folder: Path, where: Plan, nginx: str | None
) -> dict[str, AbstractAsyncContextManager[Contender]]:
    found: dict[str, AbstractAsyncContextManager[Contender]] = {
        "direct": nullcontext(Contender(url, "none", None)),
        "bare aiohttp": stack.bare_aiohttp(url, folder, where),
    }
    if nginx:
        found["nginx"] = stack.nginx(nginx, url, folder, where)
    return found


def shown(figures: dict[str, dict[str, Figure]], notes: list[str]) -> str:
    tables = [table(title, rows, BASES.get(title, "bare aiohttp")) for title, rows in figures.items()]
    return "\n".join([*(f"- {note}" for note in notes), "", *tables])


@click.command(help=__doc__)
@click.option("--quick", is_flag=True, help="About a minute: shows that it works, its numbers mean little.")
@click.option("--nginx", default=shutil.which("nginx"), help="An nginx program; without one it is left out.")
@click.option("--json", "json_path", type=click.Path(path_type=Path), default=Path("benchmark.json"))
@click.option("--page", type=click.Path(path_type=Path), help="A page with markers that the tables are written into.")
def main(quick: bool, nginx: str | None, json_path: Path, page: Path | None) -> None:
    size = QUICK if quick else FULL
    where = plan(sorted(os.sched_getaffinity(0)))
    measured = asyncio.run(whole_run(size, where, nginx))
    figures = {title: {name: figure(values) for name, values in rows.items()} for title, rows in measured.items()}
    notes = [f"{size.repeats} repeats; {where.note}", f"Python {sys.version.split()[0]}, {os.cpu_count()} cores"]
    notes += [] if nginx else ["nginx: not found (--nginx PROGRAM)"]
    notes += [
        "books: the audit held after each run of Farebox, and tokens billed were tokens emitted",
        "no plots: they need a plotting library; the values of every repeat are in the JSON",
    ]
    text = shown(figures, notes)
    click.echo(text)
    plain = {title: {name: asdict(row) for name, row in rows.items()} for title, rows in figures.items()}
    json_path.write_text(json.dumps({"notes": notes, "figures": plain, "measured": measured}, indent=2))
    if page:
        page.write_text(between_markers(page.read_text(), text))


if __name__ == "__main__":
    main()
