"""What a chunk of a stream takes of a server's core."""

from benchmarks.figure import ENVOY, NGINX, Compared, Figure, Values, ratio
from benchmarks.stage import Contender, Stage

CHUNK = Figure(
    "CPU per streamed chunk",
    "µs",
    picture="streams",
    base=NGINX,
    goals=(ratio(NGINX, must=1.3, aim=1.0), ratio(ENVOY, must=1.0, aim=None)),
)
# 40,000 chunks a second: below what the slowest fast contender manages.
STREAMS, GAP_MS = 200, 5
CHUNKS, QUICK_CHUNKS = 1_000, 200
# A thousand chunks a second.
STREAMS_OF_A_SLOW_ONE = 5


async def measure(stage: Stage, at: Contender) -> Values:
    if at.pid is None:
        return {}
    streams, chunks = STREAMS_OF_A_SLOW_ONE if at.slow else STREAMS, stage.size.pick(CHUNKS, QUICK_CHUNKS)
    before = at.cpu_s()
    found = await stage.load(at, kind="streams", connections=streams, chunks=chunks, gap_ms=GAP_MS, begin_s=0.5)
    return {CHUNK: {at.name: 1e6 * (at.cpu_s() - before) / found["chunks"]}}


MEASUREMENT = Compared("chunks", (CHUNK,), measure)
