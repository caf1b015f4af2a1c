"""From the start of `farebox serve` until it says that it can serve, Postgres and Redis being there."""

import asyncio
import http.client
from time import perf_counter
from urllib.parse import urlsplit

from benchmarks import stack
from benchmarks.figure import FAREBOX, Alone, Figure, Goal, Values
from benchmarks.stage import Stage

READY = Figure("Start to ready", "ms", picture="start", base="", goals=(Goal(must=1_000, aim=400),))
# What of it is work: it does not depend on who else uses the machine.
CPU = Figure("CPU until ready", "ms", picture="start", base="")
MEMORY = Figure("Memory of an idle proxy", "MiB", picture="start", base="")
TWO_WORKERS = f"{FAREBOX}, 2 workers"
_ASK_AGAIN_S = 0.002
_ANSWER_S = 5.0


async def measure(stage: Stage) -> Values:
    ready, cpu, memory = dict[str, float](), dict[str, float](), dict[str, float]()
    async with stack.farebox(stage.ground) as running:
        for row, options in ((FAREBOX, ()), (TWO_WORKERS, ("--workers", "2"))):
            begin = perf_counter()
            async with stack.proxy(stage.ground, running, *options) as at:
                await until_ready(at.url)
                ready[row] = 1000 * (perf_counter() - begin)
                cpu[row] = 1000 * at.cpu_s()
                memory[row] = at.memory_bytes() / (1 << 20)
    return {READY: ready, CPU: cpu, MEMORY: memory}


async def until_ready(url: str) -> None:
    async with asyncio.timeout(stack.READY_S):
        while not await asyncio.to_thread(says_ready, url):  # noqa: ASYNC110 -- it is another process
            await asyncio.sleep(_ASK_AGAIN_S)


def says_ready(url: str) -> bool:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=_ANSWER_S)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


MEASUREMENT = Alone("start", (READY, CPU, MEMORY), measure)
