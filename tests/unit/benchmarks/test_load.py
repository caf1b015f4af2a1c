"""The load generator against the upstream: what one says it asked is what the other says it answered."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from benchmarks.client import connect
from benchmarks.load import OPEN, Load
from benchmarks.upstream import TOKENS, Books, Connection


@asynccontextmanager
async def upstream(books: Books) -> AsyncIterator[str]:
    server = await asyncio.get_running_loop().create_server(lambda: Connection(books), "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


@asynccontextmanager
async def loading(books: Books, connections: int) -> AsyncIterator[Load]:
    async with upstream(books) as url:
        clients = await connect(url, connections)
        try:
            yield Load(url, ["a key", "another"], clients)
        finally:
            for client in clients:
                client.transport.close()


@pytest.mark.parametrize(("what", "tokens"), [("plain", TOKENS), ("image", TOKENS), ("short", 2)])
async def test_what_was_asked_was_answered(what: str, tokens: int) -> None:
    books = Books()
    async with loading(books, 3) as load:
        found = await load.unary(seconds=0.05, what=what)
    assert found["requests"] == books.requests > 0
    assert books.tokens == books.requests * tokens


async def test_streams_are_all_open_before_it_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    books = Books()
    async with loading(books, 4) as load:
        found = await load.streams(chunks=5, gap_ms=2, begin_s=0.001)
    assert (books.requests, books.tokens) == (4, 20)
    assert found["chunks"] == 20
    assert capsys.readouterr().out == OPEN


@pytest.mark.parametrize("what", ["plain", "short"])
async def test_requests_at_fixed_times_are_all_made(what: str) -> None:
    books = Books()
    async with loading(books, 4) as load:
        found = await load.paced(rate=500, seconds=0.1, what=what)
    assert found["requests"] == books.requests == 50
    assert 0 < found["p50_ms"] <= found["p99_ms"]


async def test_the_books_can_be_asked_for() -> None:
    books = Books()
    books.tokens = 7
    async with upstream(books) as url:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
        writer.write(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        head = await reader.readuntil(b"\r\n\r\n")
        body = await reader.readexactly(int(head.lower().partition(b"content-length: ")[2].split()[0]))
        writer.close()
        await writer.wait_closed()
    assert json.loads(body) == {"requests": 0, "tokens": 7}
