"""Loads that are about keys, against a server that says no to wrong ones."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from accounts.key_format import KeyFormat
from benchmarks.client import Client, connect
from benchmarks.key_load import flood, many, mixed_keys, wrong_key
from benchmarks.population import active_keys

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"
NO = b"HTTP/1.1 401 No\r\ncontent-length: 2\r\n\r\n{}"


class Door:
    """A server that lets the known keys in and notes who asked."""

    def __init__(self, known: list[str]) -> None:
        self.known = set(known)
        self.asked = Counter[str]()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                fields = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:-2])
                await reader.readexactly(int(fields["content-length"]))
                key = fields["authorization"].removeprefix("Bearer ")
                self.asked[key] += 1
                writer.write(OK if key in self.known else NO)
        except asyncio.IncompleteReadError:
            pass
        finally:
            writer.close()

    @asynccontextmanager
    async def open(self, connections: int) -> AsyncIterator[tuple[str, list[Client]]]:
        server = await asyncio.start_server(self.serve, "127.0.0.1", 0)
        async with server:
            url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            clients = await connect(url, connections)
            yield url, clients
            for client in clients:
                client.transport.close()


async def test_no_two_wrong_keys_are_alike_and_refusals_are_counted() -> None:
    door = Door([])
    async with door.open(3) as (url, clients):
        found = await flood(url, clients, "pp_live-", rate=1_000, seconds=0.02)
    assert found["answered_401"] == len(door.asked) == door.asked.total() == 20
    assert found.keys() == {"per_s", "answered_401"}


@pytest.mark.parametrize("start", ["pp_live-", "pp_live-1234567"])
def test_a_wrong_key_is_of_the_right_format(start: str) -> None:
    key = wrong_key(start)
    assert key.startswith(start) and KeyFormat().matches(key)
    assert wrong_key(start) != key


async def test_each_wallet_asks_in_turn() -> None:
    door = Door(active_keys(5))
    async with door.open(2) as (url, clients):
        found = await many(url, clients, wallets=5, requests=12)
    assert found["requests"] == door.asked.total() == 12
    assert sorted(door.asked.values()) == [2, 2, 2, 3, 3]


async def test_a_refusal_where_none_is_expected_is_an_error() -> None:
    async with Door([]).open(2) as (url, clients):
        with pytest.raises(RuntimeError, match="answered 401"):
            await many(url, clients, wallets=5, requests=2)


def test_wallets_are_mixed_in_the_same_order_each_time() -> None:
    keys = mixed_keys(100)
    assert keys == mixed_keys(100) != active_keys(100)
    assert sorted(keys) == sorted(active_keys(100))
