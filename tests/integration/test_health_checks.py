"""Health checks against a server that is well, ill, slow or away."""

import asyncio

import pytest

from proxy.health_checks import HealthChecks
from proxy.routing import Route
from proxy.upstream.pool import PoolLimits, UpstreamPool
from proxy.upstream.request import Origin
from proxy.upstream.standing import Fitness
from runtime.settings import HealthCheck, Upstream
from tests.support.asking import begin, never_answer
from tests.support.scripted_server import Peer, Script, ok, serve
from tests.support.waiting import until

SETTINGS = HealthCheck(path="/health?deep=1", interval_s=0.01, timeout_s=10)


def checks(origin: Origin, settings: HealthCheck = SETTINGS) -> HealthChecks:
    upstream = Upstream.model_validate({"url": "http://unused", "api_key": "sk-1", "health": settings})
    pool = UpstreamPool(origin, PoolLimits(max_connections=1))
    return HealthChecks(Route(upstream, pool), settings, pool)


def saying(raw: bytes) -> Script:
    async def script(peer: Peer) -> None:
        while True:
            await peer.read_request()
            await peer.send(raw)

    return script


@pytest.mark.parametrize(
    ("raw", "is_well"),
    [
        (ok(b"fine"), True),
        (b"HTTP/1.1 204 No Content\r\n\r\n", True),
        (b"HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n", False),
        (b"HTTP/1.1 302 Found\r\nlocation: /\r\ncontent-length: 0\r\n\r\n", False),
        (b"no HTTP\r\n\r\n", False),
    ],
)
async def test_a_good_status_is_well(raw: bytes, is_well: bool) -> None:
    async with serve(saying(raw)) as server:
        made = checks(server.origin)
        assert await made.is_well() is is_well
        assert await made.is_well() is is_well, "and again"
        await made._pool.close()


async def test_it_is_asked_at_its_own_path_with_its_credential() -> None:
    heads: list[bytes] = []

    async def script(peer: Peer) -> None:
        heads.append((await peer.read_request())[0])
        await peer.send(ok(b""))

    async with serve(script) as server:
        made = checks(server.origin)
        assert await made.is_well()
        await made._pool.close()
    assert heads[0].startswith(b"GET /health?deep=1 HTTP/1.1\r\n")
    assert b"\r\nauthorization: Bearer sk-1\r\n" in heads[0]


async def test_silence_is_not_well() -> None:
    async with serve(never_answer) as server:
        made = checks(server.origin, HealthCheck(timeout_s=0.05))
        assert not await made.is_well()
        assert made._pool.active == 0, "nobody reads on"
        await made._pool.close()


async def test_who_is_away_is_not_well() -> None:
    async with serve(never_answer) as server:
        origin = server.origin
    made = checks(origin)
    assert not await made.is_well()
    await made._pool.close()


async def test_checks_put_a_server_down_and_bring_it_up_again() -> None:
    said = [b"HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n"]

    async def script(peer: Peer) -> None:
        while True:
            await peer.read_request()
            await peer.send(said[0])

    async with serve(script) as server:
        made = checks(server.origin)
        running, standing = begin(made.run()), made._route.standing
        await until(lambda: standing.fitness(0) is Fitness.OUT)
        said[0] = ok(b"")
        await until(lambda: standing.fitness(0) is Fitness.GOOD)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await made._pool.close()
