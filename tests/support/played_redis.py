"""A server that settles, is away when told to, and may come back as another run: for tests that need no real one."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import OutOfMemoryError

from metering.settlements import Settlement

Script = Callable[[list[str], list[Any]], Awaitable[Any]]


class PlayedRedis:
    """`settled`: the entries it has acknowledged, in order; `away`: the shards that cannot be reached; `takes`
    False: it answers, and settles nothing."""

    def __init__(self, shards: int = 1) -> None:
        self.settled: list[bytes] = []
        self.calls = 0
        self.looks = 0
        self.away: set[int] = set()
        self.run = 1
        self.takes = True
        self.answers = asyncio.Event()
        self.answers.set()
        self._shards = shards

    def go_away(self) -> None:
        self.away = set(range(self._shards))

    def come_back(self, *, as_another: bool = False) -> None:
        self.away = set()
        self.run += as_another

    def register_script(self, source: str) -> Script:
        return self._run_id if "run_id" in source else self._settle

    async def _run_id(self, keys: list[str], args: list[Any]) -> bytes:
        self.looks += 1
        self._must_be_there(keys)
        return b"%040x" % self.run

    async def _settle(self, keys: list[str], args: list[Any]) -> list[int]:
        self.calls += 1
        await self.answers.wait()
        self._must_be_there(keys)
        if not self.takes:
            raise OutOfMemoryError
        self.settled += args[2::5]
        return list(args[1::5])

    def _must_be_there(self, keys: list[str]) -> None:
        if any(f"{{{shard}}}" in keys[0] for shard in self.away):
            raise RedisConnectionError


def numbered(number: int, wallet: int = 0) -> Settlement:
    """A settlement that can be told from the others; its cost is its number."""
    return Settlement(UUID(int=number), UUID(int=3), UUID(int=wallet), number, b"%d" % number)


def entries(*numbers: int) -> list[bytes]:
    return [b"%d" % number for number in numbers]
