"""The writer: reads settled usage from one shard's stream, posts it to Postgres, acknowledges it in Redis.

Between any two steps the process may be killed. Before the commit nothing has happened; after it, the events are
delivered again, Postgres knows their request ids, and only the acknowledgement is left to do. Nothing is skipped:
what cannot be done now is tried until it can, or is left pending when told to stop.

Reading, posting and acknowledging overlap (ledger/lanes.py): each is done for another part of what was read.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TypeAlias, TypeVar

import structlog
from msgspec import Struct
from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from ledger import meters
from ledger.entries import EntryError, SettledEntry
from ledger.lanes import LANES, MAX_PART, Lanes, lane_of
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

# What Redis reads, or acknowledges, at once: nobody else is served meanwhile, one or two milliseconds each.
MAX_BATCH = 1000
MAX_ACKNOWLEDGED = 500
# Nobody waits for posting: a moment's patience makes one transaction of many.
LINGER_S = 0.02
CLAIM_INTERVAL_MS = 5_000
TRY_AGAIN: tuple[type[BaseException], ...] = (*FAILED, RedisError)
PASSING: tuple[type[BaseException], ...] = (*UNAVAILABLE, RedisError)


class _Unreadable(Struct, frozen=True):
    event: RawEvent
    reason: str


_Item: TypeAlias = SettledEntry | _Unreadable
_Lanes: TypeAlias = Lanes[_Item, PostOutcome]


class LedgerWriter:
    """Any number of writers may share a shard, under different consumer names.

    `redis` must return bytes and wait longer for an answer than `stream.BLOCK_MS`.
    `on_step` hears "read" for each batch, and "begun", "posted" (not committed yet), "committed", "acknowledged" for
    each part that a lane posts.
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
        lanes: _Lanes = Lanes(
            lambda items: self._post(items, stop), lambda items, outcome: self._acknowledge(items, outcome, stop)
        )
        try:
            await self._keep_reading(lanes, stop)
            await lanes.all_done()
        finally:
            await lanes.cancel()

    async def _keep_reading(self, lanes: _Lanes, stop: asyncio.Event) -> None:
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
                for lane, items in enumerate(_by_lane(events)):
                    for start in range(0, len(items), MAX_PART):
                        await lanes.give(lane, items[start : start + MAX_PART])

    async def _join(self) -> None:
        await self._stream.join()
        if await self._store.note_life(self._shard, await life_of(self._redis, self._shard)):
            log.error("redis_was_emptied", shard=self._shard)

    async def _next_batch(self, lanes: _Lanes) -> list[RawEvent]:
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
        return await self._read_new()

    async def _read_new(self) -> list[RawEvent]:
        """If so much waits, as much as all lanes post at once: by then none of them has to make do with less."""
        events = await self._stream.read_new(self._max_batch, wait=True)
        if 0 < len(events) < self._max_batch:
            await asyncio.sleep(self._linger_s)
            return events + await self._stream.read_new(self._max_batch - len(events), wait=False)
        is_full = bool(events)
        while is_full and len(events) < LANES * self._max_batch:
            more = await self._stream.read_new(self._max_batch, wait=False)
            events += more
            is_full = len(more) == self._max_batch
        return events

    async def _recover_reading(self, error: RedisError, stop: asyncio.Event, backoff: Backoff) -> None:
        log.warning("stream_read_failed", shard=self._shard, error=type(error).__name__)
        self._own_pending = True  # an answer that was lost on the way has left events pending for us
        await pause(stop, backoff.next_s())
        if isinstance(error, ResponseError) and "NOGROUP" in str(error):
            await self._insist("join", self._join, stop)

    async def _post(self, items: Sequence[_Item], stop: asyncio.Event) -> PostOutcome | None:
        entries = [item for item in items if isinstance(item, SettledEntry)]

        async def attempt() -> PostOutcome:
            for item in items if len(entries) < len(items) else ():
                if isinstance(item, _Unreadable):
                    await self._store.bury(item.event.event_id, repr(dict(item.event.fields)), item.reason)
            return await self._store.post(entries, self._on_step)

        outcome = await self._insist("post", attempt, stop)
        if outcome is not None:
            self._on_step("committed")
        return outcome

    async def _acknowledge(self, items: Sequence[_Item], outcome: PostOutcome, stop: asyncio.Event) -> None:
        """A wallet's new balance comes with the first of its charges that go: until all have, it seems to have less."""
        states = {wallet.wallet_id: wallet for wallet in outcome.wallets}
        for start in range(0, len(items), MAX_ACKNOWLEDGED):
            done = [_acknowledgement(item) for item in items[start : start + MAX_ACKNOWLEDGED]]
            known = {each.wallet_id for each in done if each.wallet_id} & states.keys()
            wallets = [states.pop(wallet_id) for wallet_id in known]
            attempt = partial(self._redis_store.acknowledge, self._shard, done, wallets)
            if await self._insist("acknowledge", attempt, stop) is None:
                return  # told to stop: the rest stays pending
        self._on_step("acknowledged")
        log.debug("batch_posted", shard=self._shard, posted=outcome.posted, duplicates=outcome.duplicates)
        entries = [item for item in items if isinstance(item, SettledEntry)]
        meters.posted(
            new=outcome.posted,
            duplicates=outcome.duplicates,
            corrected=outcome.corrected,
            buried=outcome.buried + len(items) - len(entries),
            oldest_event_id=entries[0].event_id if entries else None,
            now_ms=wall_ms(),
        )
        await self._touch_keys(entries)

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


def _acknowledgement(item: _Item) -> Acknowledgement:
    if isinstance(item, _Unreadable):
        return Acknowledgement(item.event.event_id, None, 0)
    return Acknowledgement(item.event_id, item.entry.wallet_id, item.charge_nanos)


def _by_lane(events: Sequence[RawEvent]) -> list[list[_Item]]:
    """What cannot be read is on the first."""
    lanes: list[list[_Item]] = [[] for _ in range(LANES)]
    for event in events:
        try:
            settled = SettledEntry.from_event(event.event_id, event.fields)
        except EntryError as error:
            lanes[0].append(_Unreadable(event, str(error)))
        else:
            lanes[lane_of(settled.entry.wallet_id)].append(settled)
    return lanes
