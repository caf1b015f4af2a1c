"""The writer: reads settled usage from one shard's stream, posts it to Postgres, acknowledges it in Redis.

Between any two steps the process may be killed. Before the commit nothing has happened; after it, the events are
delivered again, Postgres knows their request ids, and only the acknowledgement is left to do. Nothing is skipped:
what cannot be done now is tried until it can, or is left pending when told to stop.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from ledger.entries import EntryError, SettledEntry
from ledger.lives import life_of
from ledger.postgres import Store
from ledger.posting import OnStep, PostOutcome, no_step
from ledger.redis_store import Acknowledgement, RedisStore
from ledger.stream import CLAIM_IDLE_MS, DEAD_CONSUMER_IDLE_MS, RawEvent, UsageStream
from runtime.backoff import Backoff, pause
from runtime.clock import ClockMs, monotonic_ms
from runtime.postgres import FAILED, UNAVAILABLE

T = TypeVar("T")

log = structlog.get_logger("farebox.writer")

# One statement posts 500 entries in about 20 ms; larger batches gain little and hold their wallets longer.
MAX_BATCH = 500
# Nobody waits for posting: a moment's patience makes one transaction of many.
LINGER_S = 0.02
CLAIM_INTERVAL_MS = 5_000
TRY_AGAIN: tuple[type[BaseException], ...] = (*FAILED, RedisError)
PASSING: tuple[type[BaseException], ...] = (*UNAVAILABLE, RedisError)


class LedgerWriter:
    """Any number of writers may share a shard, under different consumer names.

    `redis` must return bytes and wait longer for an answer than `stream.BLOCK_MS`.
    `on_step` hears "read", "begun", "posted" (not committed yet), "committed", "acknowledged" for each batch.
    """

    def __init__(
        self,
        redis: Redis,
        store: Store,
        shard: int,
        consumer_name: str,
        on_step: OnStep | None = None,
        *,
        max_batch: int = MAX_BATCH,
        linger_s: float = LINGER_S,
        claim_idle_ms: int = CLAIM_IDLE_MS,
        claim_interval_ms: int = CLAIM_INTERVAL_MS,
        dead_idle_ms: int = DEAD_CONSUMER_IDLE_MS,
        clock_ms: ClockMs = monotonic_ms,
    ) -> None:
        self._store = store
        self._shard = shard
        self._redis = redis
        self._redis_store = RedisStore(redis)
        self._stream = UsageStream(redis, shard, consumer_name, claim_idle_ms=claim_idle_ms, dead_idle_ms=dead_idle_ms)
        self._on_step = on_step or no_step
        self._max_batch = max_batch
        self._linger_s = linger_s
        self._claim_interval_ms = claim_interval_ms
        self._clock_ms = clock_ms
        self._claim_due_ms = clock_ms()
        self._own_pending = True

    async def run(self, stop: asyncio.Event) -> None:
        """Posts until `stop` is set, then finishes the batch in hand; leaves it pending if that fails."""
        await self._insist("join", self._join, stop)
        backoff = Backoff()
        while not stop.is_set():
            try:
                events = await self._next_batch()
            except RedisError as error:
                await self._recover_reading(error, stop, backoff)
                continue
            backoff.reset()
            if events:
                await self._settle(events, stop)

    async def _join(self) -> None:
        await self._stream.join()
        if await self._store.note_life(self._shard, await life_of(self._redis, self._shard)):
            log.error("redis_was_emptied", shard=self._shard)

    async def _next_batch(self) -> list[RawEvent]:
        """First what this name left pending, then, when it is time, what dead readers left, then what is new."""
        if self._own_pending:
            if events := await self._stream.read_own_pending(self._max_batch):
                return events
            self._own_pending = False
        if (now_ms := self._clock_ms()) >= self._claim_due_ms:
            self._claim_due_ms = now_ms + self._claim_interval_ms  # first: if it fails, what is new need not wait
            await self._stream.forget_dead()
            if events := await self._stream.claim(self._max_batch):
                self._claim_due_ms = now_ms  # there may be more
                return events
        events = await self._stream.read_new(self._max_batch, wait=True)
        if 0 < len(events) < self._max_batch:
            await asyncio.sleep(self._linger_s)
            events += await self._stream.read_new(self._max_batch - len(events), wait=False)
        return events

    async def _recover_reading(self, error: RedisError, stop: asyncio.Event, backoff: Backoff) -> None:
        log.warning("stream_read_failed", shard=self._shard, error=type(error).__name__)
        self._own_pending = True  # an answer that was lost on the way has left events pending for us
        await pause(stop, backoff.next_s())
        if isinstance(error, ResponseError) and "NOGROUP" in str(error):
            await self._insist("join", self._join, stop)

    async def _settle(self, events: Sequence[RawEvent], stop: asyncio.Event) -> None:
        self._on_step("read")
        entries, unreadable = _decode(events)
        outcome = await self._insist("post", lambda: self._post(entries, unreadable), stop)
        if outcome is None:
            return
        self._on_step("committed")
        done = [Acknowledgement(e.event_id, e.entry.wallet_id, e.charge_nanos) for e in entries]
        done += [Acknowledgement(event.event_id, None, 0) for event, _ in unreadable]
        acknowledged = await self._insist(
            "acknowledge", lambda: self._redis_store.acknowledge(self._shard, done, outcome.wallets), stop
        )
        if acknowledged is None:
            self._own_pending = True
            return
        self._on_step("acknowledged")
        log.debug("batch_posted", shard=self._shard, posted=outcome.posted, duplicates=outcome.duplicates)
        await self._touch_keys(entries)

    async def _post(self, entries: Sequence[SettledEntry], unreadable: Sequence[tuple[RawEvent, str]]) -> PostOutcome:
        for event, reason in unreadable:
            await self._store.bury(event.event_id, repr(dict(event.fields)), reason)
        return await self._store.post(entries, self._on_step)

    async def _touch_keys(self, entries: Sequence[SettledEntry]) -> None:
        try:
            await self._store.touch_keys(entries)
        except TRY_AGAIN as error:  # when a key was last used is good to know, not worth a retry
            log.warning("touch_keys_failed", error=type(error).__name__)

    async def _insist(self, what: str, attempt: Callable[[], Awaitable[T]], stop: asyncio.Event) -> T | None:
        """Tries until it works. None: told to stop, and it still did not."""
        backoff = Backoff()
        while True:
            try:
                return await attempt()
            except TRY_AGAIN as error:
                # What does not pass by itself, such as a column that is missing, waits for somebody to mend it.
                say = log.warning if isinstance(error, PASSING) else log.error
                say("ledger_step_failed", phase=what, shard=self._shard, error=type(error).__name__)
            if stop.is_set():
                return None
            await pause(stop, backoff.next_s())


def _decode(events: Sequence[RawEvent]) -> tuple[list[SettledEntry], list[tuple[RawEvent, str]]]:
    """What can be posted, and what cannot be read, with the reason."""
    entries: list[SettledEntry] = []
    unreadable: list[tuple[RawEvent, str]] = []
    for event in events:
        try:
            entries.append(SettledEntry.from_event(event.event_id, event.fields))
        except EntryError as error:
            unreadable.append((event, str(error)))
    return entries, unreadable
