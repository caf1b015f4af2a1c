"""The load generator: one process, raw connections on uvloop. What it measured goes to stdout as JSON.

python -m benchmarks.load URL KEY[,KEY...] '{"kind": "unary", "connections": 64, "seconds": 2}'
python -m benchmarks.load URL KEY '{"kind": "streams", "connections": 100, "chunks": 200, "gap_ms": 10, "begin_s": 1}'
python -m benchmarks.load URL KEY '{"kind": "paced", "connections": 64, "rate": 1000, "seconds": 2, "what": "short"}'
python -m benchmarks.load URL - '{"kind": "flood", "connections": 200, "start": "pp_live-", "rate": 5000, "seconds": 4}'
python -m benchmarks.load URL - '{"kind": "many", "connections": 64, "wallets": 1000, "requests": 2000}'
"""

import asyncio
import gc
import json
import sys
from collections import deque
from collections.abc import Sequence
from functools import partial
from itertools import cycle, pairwise
from time import perf_counter
from typing import Any

import uvloop

from benchmarks.asked import body, image_body, request
from benchmarks.client import Client, connect
from benchmarks.key_load import flood, many
from benchmarks.ticks import at_rate
from benchmarks.values import percentile

# A run that takes longer has failed. A hundred thousand wallets that nobody has asked for yet take over a minute.
TIMEOUT_S = 300.0
# Streams that are short, for what happens before the first token.
SHORT = {"stream": True, "max_tokens": 2, "seed": 1_000}
# What a plain request asks for: an answer whole or a short stream, to a short prompt or to an image.
BODIES = {
    "plain": lambda: body(max_tokens=20),
    "image": lambda: image_body(max_tokens=20),
    "short": lambda: body(**SHORT),
}
# Told once every stream has begun.
OPEN = "open\n"


class Load:
    """Connections to one server; each asks with one of the keys, which are dealt out in turn."""

    def __init__(self, url: str, keys: Sequence[str], clients: list[Client]) -> None:
        self.url = url
        self.clients = list(zip(clients, cycle(keys), strict=False))

    def pairs(self, sent: bytes) -> list[tuple[Client, bytes]]:
        made = {key: request(self.url, key, sent) for _, key in self.clients}
        return [(client, made[key]) for client, key in self.clients]

    async def unary(self, seconds: float, what: str = "plain") -> dict[str, float]:
        """Each connection asks again as soon as it is answered."""
        begin = perf_counter()

        async def one(client: Client, asked: bytes) -> int:
            count = 0
            while perf_counter() < begin + seconds:
                await client.ask(asked)
                count += 1
            return count

        counts = await asyncio.gather(*(one(*pair) for pair in self.pairs(BODIES[what]())))
        return {"requests": sum(counts), "per_s": sum(counts) / (perf_counter() - begin)}

    async def streams(self, chunks: int, gap_ms: float, begin_s: float) -> dict[str, float]:
        """One stream for each connection, begun evenly over `begin_s`. Gaps count while all of them are open."""
        pairs = self.pairs(body(stream=True, max_tokens=chunks, seed=round(1000 * gap_ms)))
        begin = perf_counter()

        async def one(number: int, client: Client, asked: bytes) -> list[float]:
            await asyncio.sleep(number / len(pairs) * begin_s)
            return await client.ask(asked)

        async def told() -> float:
            while not all(client.times for client, _ in pairs):  # noqa: ASYNC110 -- an event costs each chunk
                await asyncio.sleep(0.05)
            sys.stdout.write(OPEN)
            sys.stdout.flush()
            return perf_counter()

        asking = asyncio.gather(*(one(number, *pair) for number, pair in enumerate(pairs)))
        found, opened = await asyncio.gather(asking, told())
        per_s = chunks * len(pairs) / (perf_counter() - begin)
        end = begin + chunks * gap_ms / 1000
        gaps = [1000 * (b - a) for times in found for a, b in pairwise(times[:chunks]) if opened <= a and b <= end]
        gap_p99_ms = percentile(gaps, 99) if gaps else float("nan")
        return {"chunks": chunks * len(pairs), "per_s": per_s, "gap_p99_ms": gap_p99_ms}

    async def paced(self, rate: float, seconds: float, what: str = "plain") -> dict[str, float]:
        """Requests at fixed times, over the connections in turn: a slow server cannot slow the load down. How long
        until the first piece of each answer, from the time the request was due."""
        free, taken = deque(self.pairs(BODIES[what]())), list[float]()

        async def one(pair: tuple[Client, bytes], due: float) -> None:
            times = await pair[0].ask(pair[1])
            taken.append(1000 * (times[0] - due))
            free.append(pair)

        begin = perf_counter() + 0.1
        async with asyncio.TaskGroup() as group, at_rate(begin, rate) as beat:
            for turn in range(int(rate * seconds)):
                due = begin + turn / rate
                while perf_counter() < due or not free:
                    await beat.next_one()
                group.create_task(one(free.popleft(), due))
        return {"requests": len(taken), "p50_ms": percentile(taken, 50), "p99_ms": percentile(taken, 99)}


async def main(url: str, keys: Sequence[str], asked: dict[str, Any]) -> None:
    async with asyncio.timeout(TIMEOUT_S):
        clients = await connect(url, asked.pop("connections"))
        load = Load(url, keys, clients)
        of_keys = {"flood": partial(flood, url, clients), "many": partial(many, url, clients)}
        kinds: dict[str, Any] = {"unary": load.unary, "streams": load.streams, "paced": load.paced, **of_keys}
        sys.stdout.write(json.dumps(await kinds[asked.pop("kind")](**asked)))


if __name__ == "__main__":
    gc.disable()  # its pauses would be measured as the server's
    uvloop.run(main(sys.argv[1], sys.argv[2].split(","), json.loads(sys.argv[3])))
