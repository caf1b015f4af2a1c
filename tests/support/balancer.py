"""Deals requests out over several proxies, as what stands before them in production does: by asking who is ready."""

import asyncio
import itertools
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

import aiohttp

from runtime.tasks import TaskSet
from tests.support.waiting import until

_LOOK_EVERY_S = 0.05


@dataclass(eq=False)
class Backend:
    """One proxy, with connections of its own."""

    url: str
    http: aiohttp.ClientSession
    is_ready: bool = False


@dataclass
class Balancer:
    """`async with` it. A proxy gets requests from when `/readyz` says 200 until it says anything else."""

    _backends: list[Backend] = field(default_factory=list)
    _turns: "itertools.count[int]" = field(default_factory=itertools.count)
    _looks: TaskSet = field(default_factory=TaskSet)
    _stack: AsyncExitStack = field(default_factory=AsyncExitStack)

    async def __aenter__(self) -> "Balancer":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._looks.cancel()
        await self._stack.aclose()

    async def add(self, url: str) -> Backend:
        """Returns when it gets requests."""
        http = await self._stack.enter_async_context(
            aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0), timeout=aiohttp.ClientTimeout(total=60), raise_for_status=False
            )
        )
        backend = Backend(url, http)
        self._backends.append(backend)
        self._looks.spawn(self._look_at(backend), name="look")
        await until(lambda: backend.is_ready)
        return backend

    def next(self) -> Backend:
        ready = [backend for backend in self._backends if backend.is_ready]
        assert ready, "nobody is ready"
        return ready[next(self._turns) % len(ready)]

    async def _look_at(self, backend: Backend) -> None:
        # a connection of its own for each look, as most balancers do
        while True:
            try:
                async with backend.http.get(f"{backend.url}/readyz", headers={"connection": "close"}) as answer:
                    backend.is_ready = answer.status == 200
            except aiohttp.ClientError:
                backend.is_ready = False
            await asyncio.sleep(_LOOK_EVERY_S)
