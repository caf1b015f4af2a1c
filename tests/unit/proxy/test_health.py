"""Does it live, can it serve."""

import asyncio
from typing import cast

import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisGone

from metering.pricing import PriceSheet
from proxy import health
from proxy.drain import Drain
from proxy.health import Health
from proxy.prices import PriceBook
from runtime.version import farebox_version
from tests.support.memory_http import Answer, connected, get


class Pinged:
    def __init__(self, error: Exception | None = None, *, hangs: bool = False) -> None:
        self._error = error
        self._hangs = hangs

    async def ping(self) -> bool:
        if self._hangs:
            await asyncio.Event().wait()
        if self._error is not None:
            raise self._error
        return True


async def no_prices_yet() -> PriceSheet:
    return PriceSheet([])


async def health_of(redis: Pinged, *, is_loaded: bool = True, is_draining: bool = False) -> Health:
    prices = PriceBook(no_prices_yet)
    if is_loaded:
        await prices.refresh()
    drain = Drain()
    drain.is_draining = is_draining
    return Health(cast(Redis, redis), prices, drain)


async def ask(of: Health, path: str) -> Answer:
    async with connected({("GET", "/healthz"): of.live, ("GET", "/readyz"): of.ready}) as client:
        return await client.ask(get(path))


async def test_ready() -> None:
    answer = await ask(await health_of(Pinged()), "/readyz")
    assert (answer.status, answer.json()) == (200, {"status": "ok", "missing": []})


async def test_not_ready_says_all_that_is_missing() -> None:
    answer = await ask(await health_of(Pinged(RedisGone()), is_loaded=False, is_draining=True), "/readyz")
    assert answer.status == 503
    assert answer.json() == {"status": "unready", "missing": ["draining", "prices", "redis"]}


@pytest.mark.parametrize("error", [RedisGone(), OSError(), TimeoutError()], ids=lambda error: type(error).__name__)
async def test_without_redis_it_cannot_serve(error: Exception) -> None:
    assert (await ask(await health_of(Pinged(error)), "/readyz")).json()["missing"] == ["redis"]


async def test_a_redis_that_says_nothing_is_not_waited_for_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "_REDIS_WAIT_S", 0.001)
    assert (await ask(await health_of(Pinged(hangs=True)), "/readyz")).status == 503


async def test_it_lives_whatever_is_missing() -> None:
    answer = await ask(await health_of(Pinged(RedisGone()), is_loaded=False, is_draining=True), "/healthz")
    assert (answer.status, answer.json()) == (200, {"status": "ok", "version": farebox_version()})
    assert "x-request-id" in answer.headers
