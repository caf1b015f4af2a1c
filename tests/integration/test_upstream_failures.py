"""The server is away, slow, breaks off or talks nonsense."""

import asyncio
import socket

import pytest

from proxy.upstream.errors import (
    Phase,
    UpstreamClosed,
    UpstreamConnectError,
    UpstreamProtocolError,
    UpstreamTimeout,
)
from proxy.upstream.pool import PoolLimits, UpstreamPool, UpstreamRequest
from proxy.upstream.request import Origin
from tests.support.asking import MEGABYTE, REQUEST, ask
from tests.support.both_loops import on_both_loops
from tests.support.scripted_server import Peer, RecordingSink, ok, serve

# The server is away, or slow.


@on_both_loops
async def test_a_refused_connection_says_that_nothing_was_sent() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    pool = UpstreamPool(Origin("http", "127.0.0.1", port), PoolLimits())
    with pytest.raises(UpstreamConnectError, match=r"cannot connect to http://127\.0\.0\.1") as refusal:
        await pool.send(REQUEST, RecordingSink())
    assert not refusal.value.request_sent
    assert pool.active == 0
    await pool.close()


@on_both_loops
async def test_an_unknown_host_is_a_connect_error() -> None:
    pool = UpstreamPool(Origin("http", "no-such-host.invalid", 80), PoolLimits())
    with pytest.raises(UpstreamConnectError):
        await pool.send(REQUEST, RecordingSink())
    await pool.close()


@on_both_loops
async def test_a_server_that_does_not_accept_in_time_is_a_connect_timeout() -> None:
    async def connect(*_: object) -> None:
        await asyncio.Event().wait()

    pool = UpstreamPool(Origin("http", "127.0.0.1", 1), PoolLimits(connect_s=0.02), connect=connect)
    with pytest.raises(UpstreamTimeout) as timeout:
        await pool.send(REQUEST, RecordingSink())
    assert timeout.value.phase is Phase.CONNECT and not timeout.value.request_sent
    assert pool.active == 0
    await pool.close()


@on_both_loops
async def test_failed_connections_make_room_for_those_who_wait() -> None:
    async def connect(*_: object) -> None:
        await asyncio.sleep(0)
        raise ConnectionRefusedError("refused")

    pool = UpstreamPool(Origin("http", "127.0.0.1", 1), PoolLimits(max_connections=1), connect=connect)
    outcomes = await asyncio.gather(*(pool.send(REQUEST, RecordingSink()) for _ in range(4)), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [UpstreamConnectError] * 4
    assert (pool.active, pool.waiting) == (0, 0)
    await pool.close()


async def stalled(limits: PoolLimits, beginning: bytes, phase: Phase) -> None:
    async def script(peer: Peer) -> None:
        await peer.read_request()
        await peer.send(beginning)
        await peer.closed_by_client()

    async with serve(script) as server:
        pool, sink = UpstreamPool(server.origin, limits), RecordingSink()
        await pool.send(REQUEST, sink)
        error = await sink.failure()
        assert isinstance(error, UpstreamTimeout) and error.phase is phase and error.request_sent
        assert (pool.active, pool.idle) == (0, 0)
        await server.peers[0].over.wait()
        await pool.close()


@on_both_loops
async def test_a_server_that_never_answers_times_out() -> None:
    await stalled(PoolLimits(first_byte_s=0.03, sweep_s=0.01), b"HTTP/1.1 ", Phase.FIRST_BYTE)


@on_both_loops
async def test_a_server_that_stalls_in_the_body_times_out() -> None:
    beginning = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n"
    await stalled(PoolLimits(idle_s=0.03, sweep_s=0.01), beginning, Phase.IDLE)


@on_both_loops
async def test_a_server_that_stops_taking_the_request_times_out() -> None:
    async def script(peer: Peer) -> None:
        peer.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await asyncio.Event().wait()

    async with serve(script) as server:
        pool, sink = UpstreamPool(server.origin, PoolLimits(idle_s=0.1, sweep_s=0.01)), RecordingSink()
        await pool.send(UpstreamRequest("POST", "/", [], b"x" * (64 * MEGABYTE)), sink)
        error = await sink.failure()
        assert isinstance(error, UpstreamTimeout) and error.phase is Phase.WRITE
        await pool.close()


# The server breaks.


@on_both_loops
async def test_a_reset_in_the_body_is_a_failure_after_what_had_come() -> None:
    async def script(peer: Peer) -> None:
        await peer.read_request()
        await peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhello")
        await go.wait()
        peer.reset()

    go = asyncio.Event()
    async with serve(script) as server:
        pool, sink = UpstreamPool(server.origin, PoolLimits()), RecordingSink()
        await pool.send(REQUEST, sink)
        await sink.until(lambda: sink.body == b"hello")
        go.set()
        error = await sink.failure()
        assert isinstance(error, UpstreamClosed) and error.headers_received and error.request_sent
        assert (pool.active, pool.idle) == (0, 0)
        await pool.close()


@on_both_loops
async def test_a_kept_connection_that_dies_under_a_request_is_not_tried_again() -> None:
    requests: list[bytes] = []

    async def script(peer: Peer) -> None:
        requests.append((await peer.read_request())[1])
        await peer.send(ok(b"first"))
        requests.append((await peer.read_request())[1])

    async with serve(script) as server:
        pool, sink = UpstreamPool(server.origin, PoolLimits()), RecordingSink()
        await ask(pool, b"1")
        await pool.send(UpstreamRequest("POST", "/", [], b"2"), sink)
        error = await sink.failure()
        assert isinstance(error, UpstreamClosed) and not error.headers_received and error.request_sent
        assert (requests, server.accepted) == ([b"1", b"2"], 1)
        await pool.close()


@on_both_loops
async def test_what_is_not_http_is_a_protocol_error() -> None:
    async def script(peer: Peer) -> None:
        await peer.read_request()
        await peer.send(b"SSH-2.0-OpenSSH_9.2\r\n")
        await peer.closed_by_client()

    async with serve(script) as server:
        pool, sink = UpstreamPool(server.origin, PoolLimits()), RecordingSink()
        await pool.send(REQUEST, sink)
        assert isinstance(await sink.failure(), UpstreamProtocolError)
        await pool.close()


@on_both_loops
async def test_an_early_answer_to_a_large_request_is_heard() -> None:
    async def script(peer: Peer) -> None:
        await peer.reader.readuntil(b"\r\n\r\n")
        await peer.send(b"HTTP/1.1 413 Too Large\r\ncontent-length: 2\r\n\r\nno")
        await heard.wait()

    heard = asyncio.Event()
    async with serve(script) as server:
        pool, sink = UpstreamPool(server.origin, PoolLimits()), RecordingSink()
        await pool.send(UpstreamRequest("POST", "/", [], b"x" * (64 * MEGABYTE)), sink)
        await sink.end()
        heard.set()
        assert (sink.status, sink.body) == (413, b"no")
        assert (pool.active, pool.idle) == (0, 0), "half a request is left in that connection"
        await pool.close()
