"""Does the process live, can it serve. `/healthz` asks nothing of anybody; `/readyz` looks at what serving needs."""

import asyncio
from dataclasses import dataclass

import orjson
from redis.asyncio import Redis
from redis.exceptions import RedisError

from proxy.drain import Drain
from proxy.http.answers import json_response, new_id_header
from proxy.prices import PriceBook
from runtime.http.request import Request
from runtime.http.response import Response
from runtime.version import farebox_version

_REDIS_WAIT_S = 0.5


@dataclass(slots=True)
class Health:
    """A process that finishes what it has is not ready for more."""

    redis: Redis
    prices: PriceBook
    drain: Drain

    async def live(self, request: Request) -> Response:
        return await live(request)

    async def ready(self, _request: Request) -> Response:
        missing = []
        if self.drain.is_draining:
            missing.append("draining")
        if not self.prices.is_loaded:
            missing.append("prices")
        if not await self._redis_answers():
            missing.append("redis")
        return _answer(503 if missing else 200, {"status": "unready" if missing else "ok", "missing": missing})

    async def _redis_answers(self) -> bool:
        try:
            async with asyncio.timeout(_REDIS_WAIT_S):
                return bool(await self.redis.ping())
        except (RedisError, OSError, TimeoutError):
            return False


async def live(_request: Request) -> Response:
    return _answer(200, {"status": "ok", "version": farebox_version()})


def _answer(status: int, body: dict[str, object]) -> Response:
    return json_response(status, [new_id_header()], orjson.dumps(body))
