"""Load that is about keys: one process, raw connections on uvloop. What it measured goes to stdout as JSON.

python -m benchmarks.key_load URL KEY '{"kind": "paced", "connections": 64, "rate": 500, "seconds": 4}'
python -m benchmarks.key_load URL KEY '{"kind": "first", "connections": 20, "rate": 5, "keys": ["pp_live-…", …]}'
python -m benchmarks.key_load URL PREFIX '{"kind": "flood", "connections": 200, "rate": 5000, "seconds": 4}'
python -m benchmarks.key_load URL none '{"kind": "many", "connections": 64, "wallets": 1000, "requests": 2000}'
"""

import asyncio
import json
import os
import random
import sys
from base64 import urlsafe_b64encode
from collections import Counter
from itertools import count
from time import perf_counter
from typing import Any
from urllib.parse import urlsplit

import uvloop

from benchmarks.asked import body, request
from benchmarks.load import Client, connect
from benchmarks.population import active_keys
from benchmarks.values import percentile

KEY_CHARS = 40
BODY = body(max_tokens=20)
# A hundred thousand wallets that nobody has asked for yet take more than a minute.
TIMEOUT_S = 300.0


class AnyAnswer(Client):
    """A refusal is an answer too, and is counted."""

    def on_message_complete(self) -> None:
        self.status = self.parser.get_status_code()
        self.done.set_result(None)


async def paced(url: str, key: str, connections: int, rate: float, seconds: float) -> dict[str, float]:
    """Requests at fixed times, answered or not; how long each took from the time it was due."""
    clients, asked = await connect(url, connections), request(url, key, BODY)
    begin = perf_counter() + 0.1

    async def one(number: int, client: Client) -> list[float]:
        taken = []
        for turn in range(number, int(rate * seconds), connections):
            due = begin + turn / rate
            await asyncio.sleep(max(0.0, due - perf_counter()))
            await client.ask(asked)
            taken.append(1000 * (perf_counter() - due))
        return taken

    found = await asyncio.gather(*(one(number, client) for number, client in enumerate(clients)))
    taken = [value for values in found for value in values]
    return {"requests": len(taken), "p50_ms": percentile(taken, 50), "p99_ms": percentile(taken, 99)}


async def first(url: str, _key: str, connections: int, rate: float, keys: list[str]) -> dict[str, float]:
    """Each key once, `rate` a second."""
    clients = await connect(url, max(connections, len(keys)))

    async def one(number: int, key: str) -> float:
        await asyncio.sleep(number / rate)
        begin = perf_counter()
        await clients[number].ask(request(url, key, BODY))
        return 1000 * (perf_counter() - begin)

    taken = await asyncio.gather(*(one(number, key) for number, key in enumerate(keys)))
    return {"requests": len(taken), "p50_ms": percentile(taken, 50), "p99_ms": percentile(taken, 99)}


async def flood(url: str, start: str, connections: int, rate: float, seconds: float) -> dict[str, float]:
    """Wrong keys that begin with `start`, no two alike. What was asked for and not sent in time is sent later."""
    clients, answers = await _answering(url, connections), Counter[int]()
    begin, sent = perf_counter(), count()

    async def one(client: AnyAnswer) -> None:
        while (number := next(sent)) < rate * seconds:
            await asyncio.sleep(max(0.0, begin + number / rate - perf_counter()))
            end = urlsafe_b64encode(os.urandom(30)).decode()
            await client.ask(request(url, start + end[: KEY_CHARS - len(start)], BODY))
            answers[client.status] += 1

    await asyncio.gather(*map(one, clients))
    counted = {f"answered_{status}": float(number) for status, number in answers.items()}
    return {"per_s": sum(answers.values()) / (perf_counter() - begin)} | counted


async def many(url: str, _key: str, connections: int, wallets: int, requests: int) -> dict[str, float]:
    """Requests of so many wallets in turn, in the same mixed order each time, as fast as they are answered."""
    clients, keys = await connect(url, connections), active_keys(wallets)
    random.Random(1).shuffle(keys)  # noqa: S311 -- nothing secret
    turns = iter(range(requests))

    async def one(client: Client) -> None:
        for turn in turns:
            await client.ask(request(url, keys[turn % wallets], BODY))

    begin = perf_counter()
    await asyncio.gather(*map(one, clients))
    return {"requests": requests, "per_s": requests / (perf_counter() - begin)}


async def _answering(url: str, connections: int) -> list[AnyAnswer]:
    at, loop = urlsplit(url), asyncio.get_running_loop()
    return [(await loop.create_connection(AnyAnswer, at.hostname or "", at.port or 80))[1] for _ in range(connections)]


KINDS = {"paced": paced, "first": first, "flood": flood, "many": many}


async def main(url: str, key: str, asked: dict[str, Any]) -> None:
    kind: Any = KINDS[asked.pop("kind")]
    async with asyncio.timeout(TIMEOUT_S):
        sys.stdout.write(json.dumps(await kind(url, key, **asked)))


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], sys.argv[2], json.loads(sys.argv[3])))
