"""Short timeouts, and nothing is tried again behind our back. No server is needed: nothing is connected."""

from typing import Any

import pytest
from redis.asyncio.connection import AbstractConnection, Connection, SSLConnection
from redis.exceptions import ConnectionError as RedisGone

from proxy.redis_client import connect, connect_cluster


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


async def test_who_waits_for_events_has_connections_for_that() -> None:
    client = connect("redis://127.0.0.1:1/0?socket_timeout=7", timeout_s=0.25, waiting=5)
    assert client.connection_pool.max_connections == 21
    assert client.connection_pool.connection_kwargs["socket_timeout"] == 7  # what the URL says counts
    await client.aclose()


async def test_each_node_of_a_cluster_is_reached_as_the_one_in_the_url(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[tuple[object, ...]] = []

    async def fail(connection: SSLConnection) -> None:
        assert connection.credential_provider is None
        tried.append((connection.host, connection.port, connection.username, connection.password))
        raise RedisGone("gone")

    monkeypatch.setattr(SSLConnection, "_connect", fail)
    client = connect_cluster("rediss://me:secret@h:7000?ssl_ca_certs=/ca", [("i", 7001), ("h", 7000)], 0.25)
    with pytest.raises(RedisGone):
        await client.ping()
    assert set(tried) == {("h", 7000, "me", "secret"), ("i", 7001, "me", "secret")} and len(tried) == 2
    await client.aclose()
