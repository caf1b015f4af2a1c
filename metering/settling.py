"""Brings settlements to where they are safe: to Redis, or while it is away to the spool, from which they are replayed.

Sending one twice is free, so nothing here is careful about that: what may have been lost is sent again.
"""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from functools import partial

import structlog
from redis.asyncio import Redis

from ledger.redis_schema import shard_of
from metering.resending import Resender
from metering.scripts import AWAY, script
from metering.settlements import Settlement, UnknownRecord, settle_arguments
from runtime.backoff import Backoff, pause
from runtime.breaker import Breaker
from runtime.clock import ClockMs, monotonic_ms
from runtime.coalesce import Coalescer, Overloaded
from runtime.spool import RecordTooLarge, Spool, SpoolFull
from runtime.tasks import TaskSet

log = structlog.get_logger("farebox.settling")

# A script over 128 requests runs for about a millisecond; Redis serves nobody else meanwhile.
_MAX_BATCH = 128
# As for admissions: an answer waits for its settlement, and not for those before it.
_MAX_IN_FLIGHT = 8
# What neither Redis nor the spool takes waits in memory, about 1 KiB each.
_MAX_WAITING = 100_000
# Whatever the client allows itself: by then a call is given up, and its settlements go to the spool.
_SEND_TIMEOUT_S = 5.0
_RETRY_FIRST_S = 0.05
_RETRY_MAX_S = 1.0
# How often to look for what other processes left when they died.
_ADOPT_INTERVAL_S = 30.0
_NOT_SPOOLED: tuple[type[BaseException], ...] = (SpoolFull, RecordTooLarge, Overloaded, OSError)


class Settler:
    """Of one proxy process. `spool` None: what Redis does not take waits in memory.

    Without `start` it does its work all the same, but replays nothing and sends nothing again.
    """

    def __init__(
        self,
        redis: Redis,
        *,
        breakers: Sequence[Breaker],
        shards: int = 1,
        spool: Spool | None = None,
        clock_ms: ClockMs = monotonic_ms,
    ) -> None:
        self._script = script(redis, "settle")
        self._breakers = breakers
        self._shards = shards
        self._spool = spool
        self._clock_ms = clock_ms
        self._resender = Resender(redis, shards, self._deliver, clock_ms)
        self._ways = [self._way(shard) for shard in range(shards)]
        self._tasks = TaskSet()
        self._away: set[int] = set()  # shards whose server did not take the last batch
        self._spool_works = True
        self._has_spooled = asyncio.Event()
        self._replayed: set[bytes] = set()  # of the batch in hand, where only some shards took theirs

    def _way(self, shard: int) -> Coalescer[Settlement, int | None]:
        return Coalescer(
            partial(self._deliver, shard),
            name=f"settle-{shard}",
            max_batch=_MAX_BATCH,
            max_in_flight=_MAX_IN_FLIGHT,
            max_waiting=_MAX_WAITING,
        )

    def waiting(self) -> int:
        """How many settlements have not been sent yet."""
        return sum(map(len, self._ways))

    def start(self) -> None:
        """From now on what is in the spool is replayed, at first what an earlier run left."""
        self._tasks.spawn(self._resender.run(), name="settlements-again")
        if self._spool is not None:
            self._tasks.spawn(self._keep_replaying(self._spool), name="spool-replay")

    def settle(self, settlement: Settlement) -> "asyncio.Future[int | None]":
        """The charge in nano-dollars once Redis has it, or None once it is safe in the spool.

        It is tried until it succeeds; nobody need wait for it. Raises Overloaded when too many wait already.
        """
        return self._ways[shard_of(settlement.wallet_id, self._shards)].submit(settlement)

    async def drain(self, timeout_s: float) -> int:
        """Until all is in Redis or in the spool, at most so long; returns how many settlements are in neither."""
        left = await asyncio.gather(*(way.drain(timeout_s) for way in self._ways))
        if self._tasks:  # what was acknowledged by a server that has just died is sent again by us or by nobody
            with suppress(TimeoutError):
                async with asyncio.timeout(_SEND_TIMEOUT_S):
                    await self._resender.look()
        await self._tasks.cancel()
        return sum(left)

    async def _deliver(self, shard: int, batch: list[Settlement]) -> list[int] | list[None]:
        """To Redis, else to the spool, else again: it ends when they are safe."""
        backoff = Backoff(_RETRY_FIRST_S, _RETRY_MAX_S)
        is_away = self._spool is not None and (shard in self._away or self._breakers[shard].is_open)
        while True:
            if not is_away:
                try:
                    return await self._send(shard, batch)
                except AWAY:
                    pass
            if await self._is_spooled(batch):
                return [None] * len(batch)
            await asyncio.sleep(backoff.next_s())
            is_away = False

    async def _send(self, shard: int, batch: list[Settlement]) -> list[int]:
        """Raises what Redis raises."""
        keys, args = settle_arguments(shard, batch)
        try:
            async with asyncio.timeout(_SEND_TIMEOUT_S):
                charges: list[int] = await self._script(keys, args)
        except AWAY as error:
            self._failed(shard, error)
            raise
        self._breakers[shard].succeeded()
        self._away.discard(shard)
        self._resender.settled(shard, batch)
        return charges

    def _failed(self, shard: int, error: BaseException) -> None:
        self._breakers[shard].failed(self._clock_ms())
        self._resender.suspect()
        if shard not in self._away:
            self._away.add(shard)
            waiting = len(self._ways[shard])
            log.warning("settlements_delayed", shard=shard, waiting=waiting, error=type(error).__name__)

    async def _is_spooled(self, batch: list[Settlement]) -> bool:
        if self._spool is None:
            return False
        try:
            await self._spool.append([settlement.to_record() for settlement in batch])
        except _NOT_SPOOLED as error:
            if self._spool_works:
                self._spool_works = False
                log.error("spool_full", error=type(error).__name__, size_bytes=self._spool.size_bytes)
            return False
        if not self._spool_works:
            self._spool_works = True
            log.info("spool_takes_again")
        self._has_spooled.set()
        return True

    async def _keep_replaying(self, spool: Spool) -> None:
        backoff = Backoff(_RETRY_FIRST_S, _RETRY_MAX_S)
        was_failing = False
        while True:
            try:
                await spool.adopt()
                if count := await spool.drain(self._replay):
                    log.info("settlements_replayed", count=count, left=len(spool))
            except AWAY as error:
                if not was_failing:
                    log.warning("replay_delayed", waiting=len(spool), error=type(error).__name__)
                was_failing = True
                await asyncio.sleep(backoff.next_s())
            else:
                was_failing = False
                backoff.reset()
                await pause(self._has_spooled, _ADOPT_INTERVAL_S)
                self._has_spooled.clear()

    async def _replay(self, records: list[bytes]) -> int:
        """One batch of the spool; how many of it are not known. Raises when a shard did not take its part."""
        by_shard: dict[int, list[tuple[bytes, Settlement]]] = defaultdict(list)
        unknown = 0
        for record in records:
            try:
                settlement = Settlement.from_record(record)
            except UnknownRecord:
                unknown += 1
                continue
            if record not in self._replayed:
                by_shard[shard_of(settlement.wallet_id, self._shards)].append((record, settlement))
        failure: BaseException | None = None
        for shard, pairs in by_shard.items():
            try:
                await self._send(shard, [settlement for _, settlement in pairs])
                self._replayed.update(record for record, _ in pairs)
            except AWAY as error:
                failure = error
        if failure is not None:
            raise failure
        self._replayed.clear()
        return unknown
