"""How long a client waits for the first token: short streams at fixed times, half as many a second as Farebox manages.

The same rate for everybody, found in each repeat just before.
"""

from benchmarks.figure import DIRECT, Compared, Figure, Values, difference
from benchmarks.stage import CONNECTIONS, Contender, Stage


def waiting(percentile: str, must: float, aim: float) -> Figure:
    title, goals = f"Time to first token, {percentile}", (difference(DIRECT, must, aim),)
    return Figure(title, "ms", picture="latency", base=DIRECT, goals=goals, adds=True)


P50, P99 = waiting("p50", must=1.0, aim=0.3), waiting("p99", must=5.0, aim=1.5)
RATE = Figure("Short streams begun meanwhile", "/s", base="")
CAPACITY_S, QUICK_CAPACITY_S = 3, 1


async def measure(stage: Stage, at: Contender) -> Values:
    await stage.load(at, kind="unary", what="short", connections=CONNECTIONS, seconds=0.5)  # warm
    if not stage.half_rate:
        seconds = stage.size.pick(CAPACITY_S, QUICK_CAPACITY_S)
        capacity = await stage.load(at, kind="unary", what="short", connections=CONNECTIONS, seconds=seconds)
        stage.half_rate = capacity["per_s"] / 2
    asked = {"kind": "paced", "what": "short", "rate": stage.half_rate, "seconds": stage.size.seconds}
    found = await stage.load(at, connections=CONNECTIONS, **asked)
    return {P50: {at.name: found["p50_ms"]}, P99: {at.name: found["p99_ms"]}, RATE: {at.name: stage.half_rate}}


MEASUREMENT = Compared("first-token", (P50, P99, RATE), measure, slow_too=False)
