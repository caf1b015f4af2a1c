"""What an open stream takes of a server's memory."""

from benchmarks.figure import Compared, Figure, Goal, Values
from benchmarks.stage import Contender, Stage

MEMORY = Figure("Memory per open stream", "KiB", picture="streams", goals=(Goal(must=40, aim=15),))
STREAMS, QUICK_STREAMS = 5_000, 500
# Each lasts longer than all take to begin, so that there is a second in which all are open.
BEGIN_S, CHUNKS, GAP_MS = 2.0, 3, 1_500


async def measure(stage: Stage, at: Contender) -> Values:
    if at.pid is None:
        return {}
    await stage.load(at, kind="streams", connections=100, chunks=3, gap_ms=50, begin_s=0.1)
    streams = stage.streams(stage.size.pick(STREAMS, QUICK_STREAMS))
    before = at.memory_bytes()
    asked = {"kind": "streams", "connections": streams, "chunks": CHUNKS, "gap_ms": GAP_MS, "begin_s": BEGIN_S}
    grown = await stage.memory_while_open(at, asked) - before
    return {MEMORY: {at.name: grown / 1024 / streams}}


MEASUREMENT = Compared("memory", (MEMORY,), measure, slow_too=False)
