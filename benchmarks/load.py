"""The load generator: one process, raw connections on uvloop. What it measured goes to stdout as JSON.

python -m benchmarks.load URL KEY '{"kind": "unary", "connections": 64, "seconds": 2}'
python -m benchmarks.load URL KEY '{"kind": "streams", "connections": 100, "chunks": 200, "gap_ms": 10}'
python -m benchmarks.load URL KEY '{"kind": "first", "connections": 64, "rate": 1000, "seconds": 2}'
"""

import asyncio
import json
import sys
from itertools import pairwise
from time import perf_counter
from typing import Any, cast
from urllib.parse import urlsplit

import httptools
import uvloop

from benchmarks.numbers import percentile

# An answer that takes longer fails the run.
TIMEOUT_S = 60.0


class Client(asyncio.Protocol):
    """One connection, one request at a time; notes when each piece of the answer came."""

    transport: asyncio.Transport

    def __init__(self) -> None:
        self.parser = httptools.HttpResponseParser(self)
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.times: list[float] = []
        self.now = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is none by its type

    async def ask(self, request: bytes) -> list[float]:
        """When each piece came; anything but a whole 200 is an error."""
        self.done = asyncio.get_running_loop().create_future()
        self.times = []
        self.transport.write(request)
        await self.done
        return self.times

    def data_received(self, data: bytes) -> None:
        self.now = perf_counter()
        self.parser.feed_data(data)

    def on_body(self, _: bytes) -> None:
        self.times.append(self.now)

    def on_message_complete(self) -> None:
        if self.done.done():
            return
        status = self.parser.get_status_code()
        if status == 200:
            self.done.set_result(None)
        else:
            self.done.set_exception(RuntimeError(f"answered {status}"))

    def connection_lost(self, _: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(ConnectionError("closed before the end"))


def request(url: str, key: str, **fields: Any) -> bytes:
    asked = {"model": "tiny", "messages": [{"role": "user", "content": "word " * 16}], **fields}
    body = json.dumps(asked).encode()
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: {urlsplit(url).netloc}\r\nauthorization: Bearer {key}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def connect(url: str, count: int) -> list[Client]:
    at, loop = urlsplit(url), asyncio.get_running_loop()
    return [(await loop.create_connection(Client, at.hostname, at.port))[1] for _ in range(count)]


async def unary(clients: list[Client], url: str, key: str, seconds: float) -> dict[str, float]:
    """Each connection asks again as soon as it is answered."""
    asked, end = request(url, key, max_tokens=20), perf_counter() + seconds

    async def one(client: Client) -> int:
        count = 0
        while perf_counter() < end:
            await client.ask(asked)
            count += 1
        return count

    begin = perf_counter()
    counts = await asyncio.gather(*map(one, clients))
    return {"requests": sum(counts), "per_s": sum(counts) / (perf_counter() - begin)}


async def streams(clients: list[Client], url: str, key: str, chunks: int, gap_ms: float) -> dict[str, float]:
    """One stream for each connection, begun evenly over one gap."""
    asked = request(url, key, stream=True, max_tokens=chunks, user=str(gap_ms))

    async def one(number: int, client: Client) -> list[float]:
        await asyncio.sleep(number / len(clients) * gap_ms / 1000)
        return await client.ask(asked)

    found = await asyncio.gather(*(one(number, client) for number, client in enumerate(clients)))
    gaps = [1000 * (b - a) for times in found for a, b in pairwise(times[:chunks])]
    return {"chunks": sum(map(len, found)), "gap_p50_ms": percentile(gaps, 50), "gap_p99_ms": percentile(gaps, 99)}


async def first(clients: list[Client], url: str, key: str, rate: float, seconds: float) -> dict[str, float]:
    """Requests at fixed times, answered or not: a slow server cannot slow the load down. From the time it was due."""
    asked = request(url, key, stream=True, max_tokens=2, user="1")
    begin = perf_counter() + 0.1

    async def one(number: int, client: Client) -> list[float]:
        taken = []
        for turn in range(number, int(rate * seconds), len(clients)):
            due = begin + turn / rate
            await asyncio.sleep(max(0.0, due - perf_counter()))
            taken.append(1000 * ((await client.ask(asked))[0] - due))
        return taken

    found = await asyncio.gather(*(one(number, client) for number, client in enumerate(clients)))
    taken = [value for values in found for value in values]
    return {"requests": len(taken), "p50_ms": percentile(taken, 50), "p99_ms": percentile(taken, 99)}


KINDS = {"unary": unary, "streams": streams, "first": first}


async def main(url: str, key: str, asked: dict[str, Any]) -> None:
    clients = await connect(url, asked.pop("connections"))
    kind = KINDS[asked.pop("kind")]
    async with asyncio.timeout(TIMEOUT_S):
        sys.stdout.write(json.dumps(await kind(clients, url, key, **asked)))


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], sys.argv[2], json.loads(sys.argv[3])))
