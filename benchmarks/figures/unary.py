"""Plain requests: an answer of one piece to a short prompt, as many as are answered.

Over few connections and over many, and each server is told of by what it does best: few do not keep one busy that
waits for its stores, and many cost most others time.
"""

from dataclasses import dataclass

from benchmarks.figure import BARE, ENVOY, LITELLM, Compared, Figure, Values, ratio
from benchmarks.stage import CONNECTIONS, FEW_CONNECTIONS, Contender, Stage

REQUESTS = Figure(
    "Plain requests",
    "requests/s",
    picture="requests",
    goals=(ratio(BARE, must=1.3, aim=2.0), ratio(ENVOY, must=0.45, aim=0.7), ratio(LITELLM, must=50, aim=100)),
    more_is_better=True,
)
CPU = Figure("CPU per plain request", "µs", picture="requests")
OVER = {
    connections: Figure(f"Plain requests over {connections} connections", "requests/s", more_is_better=True)
    for connections in (FEW_CONNECTIONS, CONNECTIONS)
}
# One that is not fully busy waited for others: for the load, the upstream, or the stores; or was kept from its core.
BUSY = Figure("Busy with plain requests", "% of the server's core", base="")
KEPT = Figure("Kept from its core meanwhile by somebody else", "% of the time", base="")


@dataclass(frozen=True)
class Found:
    """Of each request: CPU of the server, and how long it could have run and had no core."""

    per_s: float
    cpu_s: float = 0.0
    kept_s: float = 0.0


async def measure(stage: Stage, at: Contender) -> Values:
    found = {connections: await asked(stage, at, connections) for connections in OVER}
    return values(at, found)


async def asked(stage: Stage, at: Contender, connections: int) -> Found:
    await stage.load(at, kind="unary", connections=connections, seconds=0.5)  # warm: keys, connections, caches
    cpu_s, kept_s = at.cpu_s(), at.kept_waiting_s()
    found = await stage.unary(at, connections)
    cpu_s, kept_s = at.cpu_s() - cpu_s, at.kept_waiting_s() - kept_s
    return Found(found["per_s"], cpu_s / found["requests"], kept_s / found["requests"])


def values(at: Contender, found: dict[int, Found]) -> Values:
    """By the number of connections; what is told of the server's core is of the better of them."""
    best = max(found.values(), key=lambda each: each.per_s)
    told = {REQUESTS: {at.name: best.per_s}}
    told |= {OVER[connections]: {at.name: each.per_s} for connections, each in found.items()}
    if at.pid is None:
        return told
    return told | {
        CPU: {at.name: 1e6 * best.cpu_s},
        BUSY: {at.name: 100 * best.cpu_s * best.per_s},
        KEPT: {at.name: 100 * best.kept_s * best.per_s},
    }


MEASUREMENT = Compared("unary", (REQUESTS, CPU, *OVER.values(), BUSY, KEPT), measure)
