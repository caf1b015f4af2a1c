"""Two workers against one.

Where load, upstream and stores have cores of their own, requests a second tell. Where they share the second worker's,
CPU does: what workers would answer if nothing but them were scarce is their number by the CPU of a request. It shows
what they cost each other (locks, caches, smaller batches to Redis), and not what a lack of cores costs.
"""

from dataclasses import replace

from benchmarks import stack
from benchmarks.affinity import Plan
from benchmarks.figure import Alone, Figure, Values, ratio
from benchmarks.stage import CONNECTIONS, Stage

ONE, TWO = "1 worker", "2 workers"
BY_CPU = Figure(
    "Plain requests by the workers' CPU",
    "requests/s, were nothing else scarce",
    picture="workers",
    base=ONE,
    goals=(ratio(ONE, must=1.8, aim=1.95, row=TWO),),
    more_is_better=True,
)
PER_S = Figure("Plain requests with workers", "requests/s", picture="workers", base=ONE, more_is_better=True)


async def measure(stage: Stage) -> Values:
    by_cpu, per_s = dict[str, float](), dict[str, float]()
    async with stack.farebox(stage.ground) as running:
        for row, count in ((ONE, 1), (TWO, 2)):
            on = replace(stage.ground, where=with_cores(stage, count))
            async with stack.audited_proxy(on, running, "--workers", str(count)) as at:
                await stage.load(at, kind="unary", connections=CONNECTIONS, seconds=0.5)  # warm
                before = at.cpu_s()
                found = await stage.unary(at)
                by_cpu[row] = count * found["requests"] / (at.cpu_s() - before)
                per_s[row] = found["per_s"]
    return {BY_CPU: by_cpu, PER_S: per_s}


def with_cores(stage: Stage, count: int) -> Plan:
    """The server's core, and for a second worker one that nobody has, or else the upstream's."""
    where = stage.where
    if count == 1:
        return where
    spare = sorted(where.upstream)[-1:]
    if len(where.upstream) == 1:
        stage.note("2 workers: the second shares its core with the upstream: their CPU tells, and not requests/s")
    return replace(where, server=where.server | frozenset(spare))


MEASUREMENT = Alone("workers", (BY_CPU, PER_S), measure)
