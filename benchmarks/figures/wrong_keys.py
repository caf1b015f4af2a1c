"""A flood of wrong keys, no two alike: how long do good requests take meanwhile, and how much bcrypt does it cause?"""

import asyncio

from accounts.key_format import KeyFormat, lookup_prefix
from benchmarks import stack
from benchmarks.figure import Alone, Figure, Goal, Values, ratio
from benchmarks.key_stage import bcrypt_cpu_s, new_keys, paced
from benchmarks.stack import Contender
from benchmarks.stage import Stage

WITHOUT, UNKNOWN, KNOWN = "without", "prefixes nobody has", "a prefix somebody has"
TAKEN = Figure(
    "Plain requests in a flood of wrong keys, p99",
    "ms",
    picture="keys",
    base=WITHOUT,
    goals=(ratio(WITHOUT, must=2, aim=1.1, row=UNKNOWN), ratio(WITHOUT, must=2, aim=1.1, row=KNOWN)),
)
BCRYPT = Figure(
    "bcrypt in a flood of wrong keys",
    "% of a core",
    picture="keys",
    base="",
    goals=(Goal(must=0, aim=None, row=UNKNOWN),),
)
CPU = Figure("CPU per wrong key, without bcrypt", "µs", picture="keys", base="")
REFUSED = Figure("Wrong keys refused", "/s", picture="keys", base="", more_is_better=True)
FIGURES = (TAKEN, BCRYPT, CPU, REFUSED)
WRONG_PER_S = 5_000
CONNECTIONS = 200
# It begins before the good requests and ends after them.
MARGIN_S = 0.5


async def measure(stage: Stage) -> Values:
    async with stack.farebox(stage.ground) as running, stack.audited_proxy(stage.ground, running) as at:
        (somebodys,) = await new_keys(stage, running, 1)
        await paced(stage, at)  # warm: code, connections, caches
        before_s = at.cpu_s()
        alone = await paced(stage, at)
        good_s = at.cpu_s() - before_s
        found: dict[Figure, dict[str, float]] = {figure: {} for figure in FIGURES}
        found[TAKEN][WITHOUT] = alone["p99_ms"]
        for row, start in ((UNKNOWN, KeyFormat().prefix), (KNOWN, lookup_prefix(somebodys))):
            for figure, value in (await flooded(stage, at, start, good_s)).items():
                found[figure][row] = value
    return found


async def flooded(stage: Stage, at: Contender, start: str, good_s: float) -> dict[Figure, float]:
    """With wrong keys that begin with `start`; `good_s` is the CPU that the good requests take by themselves."""
    seconds = stage.size.seconds + 2 * MARGIN_S
    asked = {"kind": "flood", "connections": CONNECTIONS, "start": start, "rate": WRONG_PER_S, "seconds": seconds}
    before_s, bcrypt_before_s = at.cpu_s(), bcrypt_cpu_s(at)

    async def good() -> dict[str, float]:
        await asyncio.sleep(MARGIN_S)
        return await paced(stage, at)

    flood, found = await asyncio.gather(stage.load_beside(at, **asked), good())
    if flood.keys() & {"answered_200", "answered_500", "answered_502"}:
        raise RuntimeError(f"a wrong key was not refused: {flood}")
    bcrypt_s = bcrypt_cpu_s(at) - bcrypt_before_s
    wrong_s = at.cpu_s() - before_s - bcrypt_s - good_s
    return {
        TAKEN: found["p99_ms"],
        BCRYPT: 100 * bcrypt_s / seconds,
        CPU: 1e6 * wrong_s / (flood["per_s"] * seconds),
        REFUSED: flood["per_s"],
    }


MEASUREMENT = Alone("wrong_keys", FIGURES, measure)
