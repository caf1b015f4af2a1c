"""More requests than connections: who waits, who goes, who is refused."""

import asyncio

import pytest

from proxy.upstream.errors import (
    UpstreamBusy,
)
from proxy.upstream.pool import PoolLimits, UpstreamPool
from tests.support.asking import REQUEST, ask, begin, echo_after, never_answer, open_connections
from tests.support.both_loops import on_both_loops
from tests.support.scripted_server import Peer, RecordingSink, ok, serve
from tests.support.waiting import until


@on_both_loops
async def test_requests_beyond_the_limit_wait_and_go_in_order() -> None:
    order: list[bytes] = []

    async def script(peer: Peer) -> None:
        while True:
            _, body = await peer.read_request()
            order.append(body)
            await peer.send(ok(body))

    async with serve(script) as server:
        pool = UpstreamPool(server.origin, PoolLimits(max_connections=1))
        bodies = [b"%d" % number for number in range(8)]
        assert await asyncio.gather(*(ask(pool, body) for body in bodies)) == bodies
        assert order == bodies
        assert server.accepted == 1
        await pool.close()


@on_both_loops
async def test_a_full_queue_is_refused_at_once() -> None:
    async with serve(never_answer) as server:
        pool = UpstreamPool(server.origin, PoolLimits(max_connections=1, max_waiting=1))
        exchange = await pool.send(REQUEST, RecordingSink())
        waiting = begin(pool.send(REQUEST, RecordingSink()))
        await until(lambda: pool.waiting == 1)
        with pytest.raises(UpstreamBusy, match="queue is full"):
            await pool.send(REQUEST, RecordingSink())
        assert repr(pool) == f"<UpstreamPool {server.origin} [1 active, 0 idle, 1 waiting]>"
        exchange.abort()
        (await waiting).abort()
        assert (pool.active, pool.waiting) == (0, 0)
        await pool.close()


@on_both_loops
async def test_a_long_wait_for_a_connection_is_refused_as_busy() -> None:
    async with serve(never_answer) as server:
        pool = UpstreamPool(server.origin, PoolLimits(max_connections=1, acquire_s=0.02))
        exchange = await pool.send(REQUEST, RecordingSink())
        with pytest.raises(UpstreamBusy, match="no upstream connection became free"):
            await pool.send(REQUEST, RecordingSink())
        assert (pool.active, pool.waiting) == (1, 0)
        exchange.abort()
        await pool.close()


@on_both_loops
async def test_a_waiting_request_whose_connection_broke_before_it_woke_opens_another() -> None:
    answer = asyncio.Event()
    async with serve(echo_after(answer)) as server:
        pool = UpstreamPool(server.origin, PoolLimits(max_connections=1))

        class BreaksTheConnection(RecordingSink):
            # the slot is the next request's already, but its task has not run
            def on_end(self, last: bytes = b"") -> None:
                super().on_end(last)
                assert (pool.active, pool.waiting) == (1, 0)
                open_connections(pool)[0].abort()

        first = BreaksTheConnection()
        await pool.send(REQUEST, first)
        second = begin(ask(pool, b"x"))
        await until(lambda: pool.waiting == 1)
        answer.set()
        await first.end()
        assert await second == b"1:x"
        assert (pool.active, pool.idle) == (0, 1)
        await pool.close()
