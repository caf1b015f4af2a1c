"""Plain requests: an answer of one piece to a short prompt, over many connections, as many as are answered."""

from benchmarks.figure import BARE, ENVOY, LITELLM, Compared, Figure, Values, ratio
from benchmarks.stage import CONNECTIONS, Contender, Stage

REQUESTS = Figure(
    "Plain requests",
    "requests/s",
    picture="requests",
    goals=(ratio(BARE, must=1.3, aim=2.0), ratio(ENVOY, must=0.45, aim=0.7), ratio(LITELLM, must=50, aim=100)),
    more_is_better=True,
)
CPU = Figure("CPU per plain request", "µs", picture="requests")
# One that is not fully busy waited for others: for the load, the upstream, or the stores; or was kept from its core.
BUSY = Figure("Busy with plain requests", "% of the server's core", base="")
KEPT = Figure("Kept from its core meanwhile by somebody else", "% of the time", base="")


async def measure(stage: Stage, at: Contender) -> Values:
    await stage.load(at, kind="unary", connections=CONNECTIONS, seconds=0.5)  # warm: keys, connections, caches
    cpu_s, kept_s = at.cpu_s(), at.kept_waiting_s()
    found = await stage.unary(at)
    values = {REQUESTS: {at.name: found["per_s"]}}
    if at.pid is None:
        return values
    each_s, kept_s = (at.cpu_s() - cpu_s) / found["requests"], at.kept_waiting_s() - kept_s
    return values | {
        CPU: {at.name: 1e6 * each_s},
        BUSY: {at.name: 100 * each_s * found["per_s"]},
        KEPT: {at.name: 100 * kept_s * found["per_s"] / found["requests"]},
    }


MEASUREMENT = Compared("unary", (REQUESTS, CPU, BUSY, KEPT), measure)
