"""How much later than the chunk before a chunk comes, where the upstream sends one each 20 ms."""

from benchmarks.figure import DIRECT, Compared, Figure, Values, difference
from benchmarks.stage import Contender, Stage

GAP = Figure(
    "Gap between chunks, p99",
    "ms",
    picture="latency",
    base=DIRECT,
    goals=(difference(DIRECT, must=2.0, aim=0.5),),
    adds=True,
)
GAP_MS = 20
STREAMS, QUICK_STREAMS = 1_000, 200
CHUNKS, QUICK_CHUNKS = 250, 150
BEGIN_S = 1.0


async def measure(stage: Stage, at: Contender) -> Values:
    streams, chunks = stage.size.pick(STREAMS, QUICK_STREAMS), stage.size.pick(CHUNKS, QUICK_CHUNKS)
    found = await stage.load(at, kind="streams", connections=streams, chunks=chunks, gap_ms=GAP_MS, begin_s=BEGIN_S)
    return {GAP: {at.name: found["gap_p99_ms"]}}


MEASUREMENT = Compared("gap", (GAP,), measure, slow_too=False)
