"""Short timeouts, and nothing is tried again behind our back. No server is needed: nothing is connected."""

from typing import Any

import pytest
from redis.asyncio.connection import AbstractConnection, Connection
from redis.exceptions import ConnectionError as RedisGone

from proxy.redis_client import connect


async def test_every_wait_is_bounded() -> None:
    client = connect("redis://127.0.0.1:1/0", timeout_s=0.25)
    pool = client.connection_pool
    assert pool.max_connections == 16
    options = pool.connection_kwargs
    assert (options["socket_timeout"], options["socket_connect_timeout"]) == (0.25, 0.25)
    await client.aclose()


async def test_a_call_that_fails_is_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """An admission that ran twice would hold twice."""
    attempts = []

    async def fail(connection: Connection) -> None:
        attempts.append(connection)
        raise RedisGone("gone")

    monkeypatch.setattr(Connection, "_connect", fail)
    client = connect("redis://127.0.0.1:1/0", timeout_s=0.25)
    with pytest.raises(RedisGone):
        await client.ping()
    assert len(attempts) == 1
    await client.aclose()


@pytest.mark.parametrize("url", ["redis://127.0.0.1:1/0", "rediss://127.0.0.1:1/0", "unix:///nowhere"])
async def test_a_socket_that_uvloop_finds_closed_is_redis_being_away(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    """Its RuntimeError would pass for a fault of ours, and what was to be settled would be lost."""

    async def closed(*_: object) -> None:
        raise RuntimeError("unable to perform operation on <TCPTransport closed=True>; the handler is closed")

    monkeypatch.setattr(AbstractConnection, "send_packed_command", closed)
    client = connect(url, timeout_s=0.25)
    make: Any = client.connection_pool.make_connection
    connection = make()
    with pytest.raises(RedisGone, match="closed"):
        await connection.send_packed_command(b"PING")
    await client.aclose()
