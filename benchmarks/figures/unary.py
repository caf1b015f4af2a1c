"""Plain requests: an answer of one piece to a short prompt, over 64 connections, as many as are answered."""

from benchmarks.figure import BARE, ENVOY, LITELLM, Compared, Figure, Values, ratio
from benchmarks.stage import Contender, Stage

REQUESTS = Figure(
    "Plain requests",
    "requests/s",
    picture="requests",
    goals=(ratio(BARE, must=1.3, aim=2.0), ratio(ENVOY, must=0.45, aim=0.7), ratio(LITELLM, must=50, aim=100)),
    more_is_better=True,
)
CPU = Figure("CPU per plain request", "µs", picture="requests")
# One that is not fully busy waited for others: for the load, the upstream, or the stores.
BUSY = Figure("Busy with plain requests", "% of the server's core")


async def measure(stage: Stage, at: Contender) -> Values:
    await stage.load(at, kind="unary", connections=64, seconds=0.5)  # warm: keys, connections, caches
    before = at.cpu_s()
    found = await stage.unary(at)
    values = {REQUESTS: {at.name: found["per_s"]}}
    if at.pid is None:
        return values
    cpu_s = at.cpu_s() - before
    return values | {
        CPU: {at.name: 1e6 * cpu_s / found["requests"]},
        BUSY: {at.name: 100 * cpu_s * found["per_s"] / found["requests"]},
    }


MEASUREMENT = Compared("unary", (REQUESTS, CPU, BUSY), measure)
