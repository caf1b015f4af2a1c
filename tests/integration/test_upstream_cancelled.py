"""Cancelled at each await of `send`: afterwards the pool must be as if nobody had asked."""

import asyncio
import ssl
from collections.abc import Callable

import pytest

from proxy.upstream.connection import UpstreamConnection
from proxy.upstream.dialing import Dialer
from proxy.upstream.pool import PoolLimits, ResponseHandle, UpstreamPool
from proxy.upstream.request import Origin
from tests.support.asking import REQUEST, ask, begin, echo_after, echo_forever, open_connections
from tests.support.both_loops import on_both_loops
from tests.support.scripted_server import RecordingSink, serve
from tests.support.waiting import until


@on_both_loops
async def test_cancelled_while_waiting_for_a_connection() -> None:
    answer = asyncio.Event()
    async with serve(echo_after(answer)) as server:
        pool = UpstreamPool(server.origin, PoolLimits(max_connections=1))
        first = RecordingSink()
        await pool.send(REQUEST, first)
        waiting = begin(pool.send(REQUEST, RecordingSink()))
        await until(lambda: pool.waiting == 1)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert (pool.active, pool.waiting) == (1, 0)
        answer.set()
        await first.end()
        assert await ask(pool, b"x") == b"0:x"
        assert (pool.active, pool.idle, pool.waiting) == (0, 1, 0)
        await pool.close()


@on_both_loops
async def test_cancelled_between_being_granted_a_connection_and_waking_up() -> None:
    answer = asyncio.Event()
    async with serve(echo_after(answer)) as server:
        pool = UpstreamPool(server.origin, PoolLimits(max_connections=1))
        tasks: list[asyncio.Task[ResponseHandle]] = []

        class CancelsTheNext(RecordingSink):
            def on_end(self, last: bytes = b"") -> None:
                super().on_end(last)
                assert (pool.active, pool.waiting) == (1, 1), "the second has the slot, the third waits"
                tasks[0].cancel()

        first = CancelsTheNext()
        await pool.send(REQUEST, first)
        tasks.append(begin(pool.send(REQUEST, RecordingSink())))
        await until(lambda: pool.waiting == 1)
        third = begin(ask(pool, b"third"))
        await until(lambda: pool.waiting == 2)
        answer.set()
        await first.end()
        with pytest.raises(asyncio.CancelledError):
            await tasks[0]
        assert await third == b"0:third"
        assert (pool.active, pool.idle, pool.waiting) == (0, 1, 0)
        await pool.close()


@on_both_loops
async def test_cancelled_and_granted_a_connection_before_noticing() -> None:
    answer = asyncio.Event()
    async with serve(echo_after(answer)) as server:
        pool = UpstreamPool(server.origin, PoolLimits(max_connections=1))
        tasks: list[asyncio.Task[ResponseHandle]] = []

        class CancelsTheNext(RecordingSink):
            # this read also ends the message and hands the slot on
            def on_headers(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
                super().on_headers(status, headers)
                tasks[0].cancel()

        first = CancelsTheNext()
        await pool.send(REQUEST, first)
        tasks.append(begin(pool.send(REQUEST, RecordingSink())))
        await until(lambda: pool.waiting == 1)
        answer.set()
        await first.end()
        with pytest.raises(asyncio.CancelledError):
            await tasks[0]
        assert (pool.active, pool.idle, pool.waiting) == (0, 1, 0)
        assert await ask(pool, b"x") == b"0:x"
        await pool.close()


@on_both_loops
async def test_cancelled_while_connecting() -> None:
    async def connect(*_: object) -> None:
        await asyncio.Event().wait()

    pool = UpstreamPool(Origin("http", "127.0.0.1", 1), PoolLimits(), connect=connect)
    opening = begin(pool.send(REQUEST, RecordingSink()))
    await asyncio.sleep(0)
    assert pool.active == 1
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    assert (pool.active, pool.idle, pool.waiting) == (0, 0, 0)
    await pool.close()


@on_both_loops
async def test_cancelled_when_the_connection_was_just_made() -> None:
    made = asyncio.Event()

    async def connect(factory: Callable[[], UpstreamConnection], origin: Origin, tls: ssl.SSLContext | None) -> None:
        await Dialer(1.0)(factory, origin, tls)
        made.set()
        await asyncio.Event().wait()

    async with serve(echo_forever) as server:
        pool = UpstreamPool(server.origin, PoolLimits(), connect=connect)
        opening = begin(pool.send(REQUEST, RecordingSink()))
        await made.wait()
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening
        await until(lambda: server.accepted == 1)
        await server.peers[0].over.wait()
        assert (pool.active, pool.idle, open_connections(pool)) == (0, 0, [])
        await pool.close()
