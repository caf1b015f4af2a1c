"""What a prompt of 1 MiB, an image in base64, takes of a server's core; beside it, one parse of that body."""

import time

import orjson

from benchmarks.affinity import pinned
from benchmarks.asked import image_body
from benchmarks.figure import FAREBOX, NGINX, Compared, Figure, Values, ratio
from benchmarks.stage import Contender, Stage

PARSE = "one JSON parse"
PROMPT = Figure(
    "CPU per prompt of 1 MiB",
    "µs",
    picture="requests",
    base=NGINX,
    goals=(ratio(NGINX, must=2.0, aim=None, after=PARSE),),
)
PARSES = 200


async def measure(stage: Stage, at: Contender) -> Values:
    if at.pid is None:
        return {}
    await stage.load(at, kind="unary", what="image", connections=8, seconds=0.5)
    before = at.cpu_s()
    found = await stage.load(at, kind="unary", what="image", connections=8, seconds=stage.size.pick(3, 1))
    values = {at.name: 1e6 * (at.cpu_s() - before) / found["requests"]}
    return {PROMPT: values | ({PARSE: parse_us(stage)} if at.name == FAREBOX else {})}


def parse_us(stage: Stage) -> float:
    """On the server's core."""
    body = image_body()
    with pinned(stage.where.server):
        before = time.process_time()
        for _ in range(PARSES):
            orjson.loads(body)
        return 1e6 * (time.process_time() - before) / PARSES


MEASUREMENT = Compared("prompt-1mib", (PROMPT,), measure)
