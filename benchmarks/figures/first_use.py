"""Keys that are used for the first time, bcrypt and all, among other requests: how long do those others take?"""

import asyncio
from dataclasses import replace

from benchmarks import stack
from benchmarks.figure import FAREBOX, Alone, Figure, Values, difference
from benchmarks.key_stage import new_keys, paced
from benchmarks.stage import Stage

WITHOUT, AMONG = "without", "among first uses"
TAKEN = Figure(
    "Plain requests among 5 first uses a second, p99",
    "ms",
    picture="keys",
    base=WITHOUT,
    goals=(difference(WITHOUT, must=5, aim=0.5, row=AMONG),),
)
FIRST = Figure("First use of a key, p50", "ms", picture="keys", base="")
FIRST_USES_PER_S = 5


async def measure(stage: Stage) -> Values:
    async with stack.farebox(stage.ground) as running, stack.audited_proxy(stage.ground, running) as at:
        keys = await new_keys(stage, running, FIRST_USES_PER_S * stage.size.seconds)
        await paced(stage, at)  # warm: code, connections, caches
        alone = await paced(stage, at)
        asked = {"kind": "paced", "rate": FIRST_USES_PER_S, "seconds": stage.size.seconds}
        firsts = stage.load_beside(replace(at, keys=keys), connections=len(keys), **asked)
        among, first = await asyncio.gather(paced(stage, at), firsts)
    return {TAKEN: {WITHOUT: alone["p99_ms"], AMONG: among["p99_ms"]}, FIRST: {FAREBOX: first["p50_ms"]}}


MEASUREMENT = Alone("first_use", (TAKEN, FIRST), measure)
