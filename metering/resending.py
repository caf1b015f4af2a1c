"""What Redis acknowledged and may have lost all the same.

With `appendfsync everysec` a server may put off a write to its journal for up to two seconds while it answers; a
failover may lose as much. So what was settled in the last seconds is remembered, and sent again when the shard's
server turns out to be another run. Sending twice is free: posting is idempotent by request id.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import structlog
from redis.asyncio import Redis

from ledger.redis_schema import holds_key
from metering.scripts import AWAY
from metering.settlements import Remembered, Settlement
from runtime.backoff import pause
from runtime.clock import ClockMs, monotonic_ms
from runtime.lua import load_script

log = structlog.get_logger("farebox.settling")

# Longer than the two seconds that a server may lose.
REMEMBER_MS = 3_000
# Of one shard, about a kilobyte each: more than one process settles in that time and in the second between two looks.
MAX_REMEMBERED = 40_000
_LOOK_INTERVAL_S = 1.0
# Settlements sent again in one call.
_BATCH = 128

Deliver = Callable[[int, list[Settlement]], Awaitable[object]]


class Resender:
    """`deliver` brings settlements of a shard to where they are safe; it is expected to say `settled` of them again."""

    def __init__(self, redis: Redis, shards: int, deliver: Deliver, clock_ms: ClockMs = monotonic_ms) -> None:
        self._script = load_script(redis, "metering", "lua/run_id.lua")
        self._deliver = deliver
        self._clock_ms = clock_ms
        self._remembered = [Remembered(MAX_REMEMBERED) for _ in range(shards)]
        self._run_ids: list[bytes | None] = [None] * shards
        self._has_some = asyncio.Event()
        self._look_now = asyncio.Event()
        self._looking = asyncio.Lock()

    def settled(self, shard: int, batch: Sequence[Settlement]) -> None:
        """The shard's server has acknowledged these."""
        self._remembered[shard].add(batch, self._clock_ms())
        self._has_some.set()

    def suspect(self) -> None:
        """A call has failed: the server may be starting again."""
        self._look_now.set()

    async def run(self) -> None:
        """Looks until cancelled: about once a second while something is remembered."""
        await self.look()
        while True:
            await self._has_some.wait()
            await pause(self._look_now, _LOOK_INTERVAL_S)
            self._look_now.clear()
            await self.look()

    async def look(self) -> None:
        """Is each server still the one that acknowledged? What cannot be asked now is asked the next time."""
        async with self._looking:
            for shard, remembered in enumerate(self._remembered):
                if remembered or self._run_ids[shard] is None:
                    await self._look_at(shard, remembered)
            if not any(self._remembered):
                self._has_some.clear()

    async def _look_at(self, shard: int, remembered: Remembered) -> None:
        asked_ms, known = self._clock_ms(), self._run_ids[shard]
        try:
            self._run_ids[shard] = current = await self._run_id(shard)
        except AWAY:
            return
        if known == current:
            # what this run acknowledged so long ago is in its journal
            remembered.forget_before(asked_ms - REMEMBER_MS)
        elif again := remembered.take():
            log.warning("settlements_sent_again", shard=shard, count=len(again))
            for begin in range(0, len(again), _BATCH):
                await self._deliver(shard, again[begin : begin + _BATCH])

    async def _run_id(self, shard: int) -> bytes:
        """Of the server behind the shard, on a cluster the node: a script is sent to where its key is."""
        run_id: bytes = await self._script([holds_key(shard)], [])
        return run_id
