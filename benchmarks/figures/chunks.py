"""What a chunk of a stream takes of a server's core; and how many load and upstream manage with nothing between."""

from benchmarks.figure import DIRECT, ENVOY, NGINX, Compared, Figure, Goal, Values, ratio
from benchmarks.stage import Contender, Stage

CHUNK = Figure(
    "CPU per streamed chunk",
    "µs",
    picture="streams",
    base=NGINX,
    goals=(ratio(NGINX, must=1.3, aim=1.0), ratio(ENVOY, must=1.0, aim=None)),
)
# The gap between chunks is measured with 50,000 a second, more than any other figure asks for.
MANAGED = Figure(
    "Streamed chunks that load and upstream manage",
    "chunks/s",
    base="",
    goals=(Goal(must=75_000, aim=None, row=DIRECT),),
    more_is_better=True,
)
# 40,000 chunks a second: below what the slowest fast contender manages.
STREAMS, GAP_MS = 200, 5
CHUNKS, QUICK_CHUNKS = 1_000, 200
# A thousand chunks a second.
STREAMS_OF_A_SLOW_ONE = 5


async def measure(stage: Stage, at: Contender) -> Values:
    if at.pid is None:
        return {MANAGED: {at.name: await managed(stage, at)}}
    streams, chunks = STREAMS_OF_A_SLOW_ONE if at.slow else STREAMS, stage.size.pick(CHUNKS, QUICK_CHUNKS)
    before = at.cpu_s()
    found = await stage.load(at, kind="streams", connections=streams, chunks=chunks, gap_ms=GAP_MS, begin_s=0.5)
    return {CHUNK: {at.name: 1e6 * (at.cpu_s() - before) / found["chunks"]}}


async def managed(stage: Stage, at: Contender) -> float:
    chunks = stage.size.pick(CHUNKS, QUICK_CHUNKS)
    found = await stage.load(at, kind="streams", connections=STREAMS, chunks=chunks, gap_ms=0, begin_s=0)
    return found["per_s"]


MEASUREMENT = Compared("chunks", (CHUNK, MANAGED), measure)
