"""A Valkey of a test's own, which can be killed, robbed of what it wrote last, and comes back on its port."""

import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path

from redis.asyncio import Redis

from proxy import redis_client
from runtime.embedded.valkey import EmbeddedValkey
from tests.support.limits import TIMEOUT_S

PASSWORD = "none"


class MortalValkey:
    def __init__(self, folder: Path, stack: AsyncExitStack) -> None:
        self._folder = folder / "valkey"
        self._stack = stack

    @property
    def url(self) -> str:
        return self._running.url

    async def start(self, port: int = 0) -> None:
        self._running = await EmbeddedValkey.start(self._folder, PASSWORD, port=port)

    async def kill(self) -> None:
        os.kill(self._running.pid, signal.SIGKILL)
        await self._running.stop()

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """Its connections stay, and nothing is answered."""
        os.kill(self._running.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self._running.pid, signal.SIGCONT)

    async def come_back(self) -> None:
        await self.start(self._running.port)

    async def stop(self) -> None:
        await self._running.stop()

    def connect(self) -> Redis:
        client = redis_client.connect(self.url, TIMEOUT_S)
        self._stack.push_async_callback(client.aclose)
        return client

    def lose_everything(self) -> None:
        """While it is dead."""
        shutil.rmtree(self._folder / "appendonlydir")

    def lose_the_end(self) -> None:
        """While it is dead: the last half of what it wrote to its journal."""
        (journal,) = (self._folder / "appendonlydir").glob("*.incr.aof")
        os.truncate(journal, journal.stat().st_size // 2)
