"""The pool on good days, against real sockets: connections kept, slow readers, a good-bye."""

import asyncio
import ssl
from collections.abc import Callable

import pytest

from proxy.upstream.connection import UpstreamConnection
from proxy.upstream.dialing import Dialer
from proxy.upstream.errors import (
    UpstreamClosed,
    UpstreamConnectError,
)
from proxy.upstream.pool import PoolLimits, UpstreamPool, UpstreamRequest
from proxy.upstream.request import Origin
from tests.support.asking import MEGABYTE, REQUEST, ask, begin, echo_forever, never_answer, open_connections
from tests.support.both_loops import on_both_loops
from tests.support.scripted_server import Peer, RecordingSink, ok, serve
from tests.support.waiting import until

# Reuse.


@on_both_loops
async def test_connections_are_kept_and_used_again() -> None:
    async with serve(echo_forever) as server:
        pool = UpstreamPool(server.origin, PoolLimits())
        assert [await ask(pool, b"a"), await ask(pool, b"b")] == [b"0:a", b"0:b"]
        assert server.accepted == 1
        assert repr(pool) == f"<UpstreamPool {server.origin} [0 active, 1 idle, 0 waiting]>"
        await pool.close()


@on_both_loops
async def test_at_once_where_a_connection_is_free_and_not_otherwise() -> None:
    async with serve(echo_forever) as server:
        pool, sink = UpstreamPool(server.origin, PoolLimits()), RecordingSink()
        assert pool.send_at_once(REQUEST, sink) is None
        await ask(pool)
        assert pool.send_at_once(REQUEST, sink) is not None and pool.active == 1
        assert pool.send_at_once(REQUEST, RecordingSink()) is None
        await sink.end()
        assert (sink.status, server.accepted, pool.active, pool.idle) == (200, 1, 0, 1)
        for connection in list(pool._connections):
            connection.abort()
        assert pool.send_at_once(REQUEST, RecordingSink()) is None and pool.active == 0
        await pool.close()
        assert pool.send_at_once(REQUEST, RecordingSink()) is None


@on_both_loops
async def test_a_response_arrives_with_status_headers_and_joined_to_the_base_path() -> None:
    seen: list[bytes] = []

    async def script(peer: Peer) -> None:
        seen.append((await peer.read_request())[0].split(b"\r\n")[0])
        await peer.send(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 429 Slow Down\r\nRetry-After: 7\r\n")
        await peer.send(b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n")

    async with serve(script) as server:
        origin = Origin("http", server.origin.host, server.origin.port, "/v1")
        pool, sink = UpstreamPool(origin, PoolLimits()), RecordingSink()
        await pool.send(REQUEST, sink)
        await sink.end()
        assert (sink.status, sink.body) == (429, b"abc")
        assert sink.headers == [(b"retry-after", b"7"), (b"transfer-encoding", b"chunked")]
        assert seen == [b"POST /v1/chat/completions HTTP/1.1"]
        await pool.close()


@on_both_loops
async def test_an_unused_connection_is_closed_by_us_in_time() -> None:
    async with serve(echo_forever) as server:
        pool = UpstreamPool(server.origin, PoolLimits(keep_alive_s=0.02, sweep_s=0.01))
        await ask(pool)
        await until(lambda: pool.idle == 0)
        await server.peers[0].over.wait()
        assert await ask(pool, b"x") == b"1:x"
        await pool.close()


@on_both_loops
async def test_a_connection_the_server_closed_while_unused_is_never_handed_out() -> None:
    async with serve(echo_forever) as server:
        pool = UpstreamPool(server.origin, PoolLimits())
        await ask(pool)
        server.peers[0].close()
        await until(lambda: pool.idle == 0)
        assert await ask(pool, b"x") == b"1:x"
        await pool.close()


@on_both_loops
async def test_a_connection_on_which_the_server_speaks_unasked_is_closed() -> None:
    async with serve(echo_forever) as server:
        pool = UpstreamPool(server.origin, PoolLimits())
        await ask(pool)
        await server.peers[0].send(b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\n\r\n")
        await until(lambda: pool.idle == 0)
        assert await ask(pool, b"x") == b"1:x"
        await pool.close()


@on_both_loops
async def test_a_response_that_says_close_or_ends_by_closing_is_the_last_of_its_connection() -> None:
    async def script(peer: Peer) -> None:
        await peer.read_request()
        await peer.send(ok(b"bye", b"connection: close") if peer.number == 0 else b"HTTP/1.1 200 OK\r\n\r\nbye")
        peer.close()

    async with serve(script) as server:
        pool = UpstreamPool(server.origin, PoolLimits())
        assert [await ask(pool), await ask(pool)] == [b"bye", b"bye"]
        assert (pool.active, pool.idle, server.accepted) == (0, 0, 2)
        await pool.close()


# Slow readers on either side.


@on_both_loops
async def test_pausing_stops_the_server_and_resuming_loses_nothing() -> None:
    total = 64 * MEGABYTE
    all_sent = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.read_request()
        await peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % total)
        for number in range(total // MEGABYTE):
            await peer.send(bytes([number]) * MEGABYTE)
        all_sent.set()
        await peer.closed_by_client()

    async with serve(script) as server:
        pool, sink = UpstreamPool(server.origin, PoolLimits()), RecordingSink()
        exchange = await pool.send(REQUEST, sink)
        await sink.until(lambda: sink.status is not None)
        exchange.pause_reading()
        seen = len(sink.body)
        with pytest.raises(TimeoutError):  # loopback would need a tenth of that
            await asyncio.wait_for(all_sent.wait(), 0.3)
        assert len(sink.body) == seen and sink.error is None
        exchange.resume_reading()
        await sink.end()
        assert sink.body == b"".join(bytes([number]) * MEGABYTE for number in range(total // MEGABYTE))
        await pool.close()


@on_both_loops
async def test_ten_megabytes_reach_a_slow_reader_whole() -> None:
    body = bytes(range(256)) * (10 * MEGABYTE // 256)
    received = bytearray()

    async def script(peer: Peer) -> None:
        await peer.reader.readuntil(b"\r\n\r\n")
        while len(received) < len(body):
            received.extend(await peer.reader.read(256 * 1024))
            await asyncio.sleep(0.001)
        await peer.send(ok(b"thanks"))
        await peer.closed_by_client()

    async with serve(script) as server:
        pool = UpstreamPool(server.origin, PoolLimits())
        assert await ask(pool, body) == b"thanks"
        assert received == body
        assert pool.idle == 1
        await pool.close()


# Leaving.


@on_both_loops
async def test_abort_is_noticed_by_the_server_and_by_nobody_else() -> None:
    gone = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.read_request()
        await peer.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n")
        await peer.closed_by_client()
        gone.set()

    async with serve(script) as server:
        pool, sink = UpstreamPool(server.origin, PoolLimits()), RecordingSink()
        exchange = await pool.send(REQUEST, sink)
        await sink.until(lambda: sink.body == b"x")
        exchange.pause_reading()
        exchange.abort()
        assert (pool.active, pool.idle) == (0, 0)
        await gone.wait()
        assert not sink.over
        await pool.close()


@on_both_loops
async def test_closing_the_pool_fails_refuses_and_closes() -> None:
    async with serve(never_answer) as server:
        pool, sink = UpstreamPool(server.origin, PoolLimits(max_connections=1)), RecordingSink()
        await pool.send(REQUEST, sink)
        waiting = begin(pool.send(REQUEST, RecordingSink()))
        await until(lambda: pool.waiting == 1)
        await pool.close()
        assert isinstance(sink.error, UpstreamClosed)
        with pytest.raises(UpstreamConnectError, match="pool is closed"):
            await waiting
        with pytest.raises(UpstreamConnectError, match="pool is closed"):
            await pool.send(REQUEST, RecordingSink())
        assert (pool.active, pool.idle, pool.waiting, open_connections(pool)) == (0, 0, 0, [])
        await pool.close()


@on_both_loops
async def test_a_connection_that_opens_after_the_pool_was_closed_is_not_used() -> None:
    go = asyncio.Event()

    async def connect(factory: Callable[[], UpstreamConnection], origin: Origin, tls: ssl.SSLContext | None) -> None:
        await go.wait()
        await Dialer(1.0)(factory, origin, tls)

    async with serve(never_answer) as server:
        pool = UpstreamPool(server.origin, PoolLimits(), connect=connect)
        opening = begin(pool.send(REQUEST, RecordingSink()))
        await asyncio.sleep(0)
        await pool.close()
        go.set()
        with pytest.raises(UpstreamConnectError):
            await opening
        assert pool.active == 0


@on_both_loops
async def test_a_thousand_requests_leave_the_pool_as_it_was() -> None:
    async with serve(echo_forever) as server:
        pool = UpstreamPool(server.origin, PoolLimits(max_connections=8))

        async def client(number: int) -> None:
            body = b"%d" % number
            if number % 10 == 0:
                (await pool.send(UpstreamRequest("POST", "/", [], body), RecordingSink())).abort()
            else:
                assert (await ask(pool, body)).endswith(b":" + body)

        await asyncio.gather(*(client(number) for number in range(1_000)))
        assert (pool.active, pool.waiting) == (0, 0)
        assert pool.idle <= 8
        await pool.close()
