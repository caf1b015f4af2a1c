"""The writer: reads settled usage from one shard's stream, posts it to Postgres, acknowledges it in Redis.

Between any two steps the process may be killed. Before the commit nothing has happened; after it, the events are
delivered again, Postgres knows their request ids, and only the acknowledgement is left to do. Nothing is skipped:
what cannot be done now is tried until it can, or is left pending when told to stop.

Reading, posting and acknowledging overlap (ledger/lanes.py): each is done for another part of what was read.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from ledger import meters
from ledger.entries import EntryError, SettledEntry
from ledger.lanes import LANES, Lanes, lane_of
from ledger.lives import life_of
from ledger.postgres import Store
from ledger.posting import OnStep, PostOutcome, no_step
from ledger.redis_store import Acknowledgement, RedisStore
from ledger.stream import CLAIM_IDLE_MS, DEAD_CONSUMER_IDLE_MS, RawEvent, UsageStream
from runtime.backoff import Backoff, pause
from runtime.clock import ClockMs, monotonic_ms, monotonic_ns, wall_ms
from runtime.postgres import FAILED, UNAVAILABLE

T = TypeVar("T")

log = structlog.get_logger("farebox.writer")

# One statement posts 1,000 entries in about 30 ms; larger batches gain little, hold their wallets longer, and keep
# Redis from serving others for longer when they are acknowledged.
MAX_BATCH = 1000
# Nobody waits for posting: a moment's patience makes one transaction of many.
LINGER_S = 0.02
CLAIM_INTERVAL_MS = 5_000
TRY_AGAIN: tuple[type[BaseException], ...] = (*FAILED, RedisError)
PASSING: tuple[type[BaseException], ...] = (*UNAVAILABLE, RedisError)


@dataclass(frozen=True, slots=True)
class _Part:
    """What one lane posts of a batch: entries, and events that cannot be read, with the reason."""

    entries: list[SettledEntry] = field(default_factory=list)
    unreadable: list[tuple[RawEvent, str]] = field(default_factory=list)


class LedgerWriter:
    """Any number of writers may share a shard, under different consumer names.

    `redis` must return bytes and wait longer for an answer than `stream.BLOCK_MS`.
    `on_step` hears "read" for each batch, and "begun", "posted" (not committed yet), "committed", "acknowledged" for
    each lane's part of it.
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
        """Posts until `stop` is set, then finishes what it has in hand; leaves pending what of it fails."""
        await self._insist("join", self._join, stop)
        lanes: Lanes[_Part, PostOutcome] = Lanes(
            lambda part: self._post(part, stop), lambda part, outcome: self._acknowledge(part, outcome, stop)
        )
        try:
            await self._keep_reading(lanes, stop)
            await lanes.all_done()
        finally:
            await lanes.cancel()

    async def _keep_reading(self, lanes: Lanes[_Part, PostOutcome], stop: asyncio.Event) -> None:
        backoff = Backoff()
        while not stop.is_set():
            try:
                events = await self._next_batch(lanes)
            except RedisError as error:
                await self._recover_reading(error, stop, backoff)
                continue
            backoff.reset()
            if events:
                self._on_step("read")
                for lane, part in enumerate(_parts(events)):
                    if part.entries or part.unreadable:
                        await lanes.give(lane, part)

    async def _join(self) -> None:
        await self._stream.join()
        if await self._store.note_life(self._shard, await life_of(self._redis, self._shard)):
            log.error("redis_was_emptied", shard=self._shard)

    async def _next_batch(self, lanes: Lanes[_Part, PostOutcome]) -> list[RawEvent]:
        """First what this name left pending, then, when it is time, what dead readers left, then what is new.

        What is in hand is pending too, so it is finished before anything but new events is asked for.
        """
        if self._own_pending:
            await lanes.all_done()
            if events := await self._stream.read_own_pending(self._max_batch):
                return events
            self._own_pending = False
        if (now_ms := self._clock_ms()) >= self._claim_due_ms:
            self._claim_due_ms = now_ms + self._claim_interval_ms  # first: if it fails, what is new need not wait
            await lanes.all_done()
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

    async def _post(self, part: _Part, stop: asyncio.Event) -> PostOutcome | None:
        async def attempt() -> PostOutcome:
            for event, reason in part.unreadable:
                await self._store.bury(event.event_id, repr(dict(event.fields)), reason)
            return await self._store.post(part.entries, self._on_step)

        outcome = await self._insist("post", attempt, stop)
        if outcome is not None:
            self._on_step("committed")
        return outcome

    async def _acknowledge(self, part: _Part, outcome: PostOutcome, stop: asyncio.Event) -> None:
        done = [Acknowledgement(e.event_id, e.entry.wallet_id, e.charge_nanos) for e in part.entries]
        done += [Acknowledgement(event.event_id, None, 0) for event, _ in part.unreadable]
        acknowledged = await self._insist(
            "acknowledge", lambda: self._redis_store.acknowledge(self._shard, done, outcome.wallets), stop
        )
        if acknowledged is None:
            self._own_pending = True
            return
        self._on_step("acknowledged")
        log.debug("batch_posted", shard=self._shard, posted=outcome.posted, duplicates=outcome.duplicates)
        meters.posted(
            new=outcome.posted,
            duplicates=outcome.duplicates,
            corrected=outcome.corrected,
            buried=outcome.buried + len(part.unreadable),
            oldest_event_id=part.entries[0].event_id if part.entries else None,
            now_ms=wall_ms(),
        )
        await self._touch_keys(part.entries)

    async def _touch_keys(self, entries: Sequence[SettledEntry]) -> None:
        try:
            await self._store.touch_keys(entries)
        except TRY_AGAIN as error:  # when a key was last used is good to know, not worth a retry
            log.warning("touch_keys_failed", error=type(error).__name__)

    async def _insist(self, what: str, attempt: Callable[[], Awaitable[T]], stop: asyncio.Event) -> T | None:
        """Tries until it works. None: told to stop, and it still did not."""
        backoff = Backoff()
        while True:
            began_ns = monotonic_ns()
            try:
                done = await attempt()
                meters.STEPS.observe((what,), (monotonic_ns() - began_ns) // 1_000)
                return done
            except TRY_AGAIN as error:
                meters.STEP_FAILURES.add((what,))
                # What does not pass by itself, such as a column that is missing, waits for somebody to mend it.
                say = log.warning if isinstance(error, PASSING) else log.error
                say("ledger_step_failed", phase=what, shard=self._shard, error=type(error).__name__)
            if stop.is_set():
                return None
            await pause(stop, backoff.next_s())


def _parts(events: Sequence[RawEvent]) -> list[_Part]:
    """One for each lane; what cannot be read is on the first."""
    parts = [_Part() for _ in range(LANES)]
    for event in events:
        try:
            settled = SettledEntry.from_event(event.event_id, event.fields)
        except EntryError as error:
            parts[0].unreadable.append((event, str(error)))
        else:
            parts[lane_of(settled.entry.wallet_id)].entries.append(settled)
    return parts
