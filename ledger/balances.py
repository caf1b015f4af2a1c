"""Keeps what Redis knows about wallets and keys in step with Postgres.

Three ways, each making up for the one before: whoever changed something pushes it at once; triggers announce every
change, also one made by hand in SQL; and a sweep looks for changes whose announcement was missed.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TypeVar
from uuid import UUID

import structlog
from redis.exceptions import RedisError

from ledger.entries import KeyState, WalletState
from ledger.postgres import Store
from ledger.redis_store import Away, RedisStore
from runtime.clock import ClockMs, wall_ms
from runtime.listener import Listener
from runtime.postgres import FAILED

T = TypeVar("T", WalletState, KeyState)

log = structlog.get_logger("farebox.balances")

SWEEP_INTERVAL_S = 30.0
# updated_at is set when a row is written, and seen when its transaction commits: no transaction of ours takes so long,
# nor are the clocks of the two machines so far apart.
SWEEP_MARGIN_S = 60.0
PAGE = 500
AGAIN_S = 1.0
# More announcements than this waiting, and one sweep is cheaper than going through them.
MAX_ANNOUNCED = 10_000
CHANNELS = ("farebox_wallets", "farebox_keys")
_FAILURES: tuple[type[BaseException], ...] = (*FAILED, RedisError)
_FIRST_ID = UUID(int=0)


class StateMirror:
    """Any number may run at once: versions decide what is newer."""

    def __init__(
        self,
        redis_store: RedisStore,
        store: Store,
        database_url: str,
        *,
        sweep_interval_s: float = SWEEP_INTERVAL_S,
        clock_ms: ClockMs = wall_ms,
    ) -> None:
        self._redis = redis_store
        self._store = store
        self._url = database_url
        self._sweep_interval_s = sweep_interval_s
        self._clock_ms = clock_ms
        self._announced: dict[str, set[str]] = {channel: set() for channel in CHANNELS}
        self._swept_ms = 0
        self._sweep_due_ms = 0
        self._sweep_now = True

    async def push_wallets(self, wallet_ids: Iterable[UUID]) -> None:
        """Puts these wallets as Postgres has them. Raises UNAVAILABLE or RedisError; the sweep makes up for it."""
        away = Away()
        for page in _pages(wallet_ids):
            await self._redis.put_wallets(await self._store.wallet_states(page), away=away)
        away.raise_any()

    async def push_keys(self, key_ids: Iterable[UUID]) -> None:
        """Puts these keys as Postgres has them, deleted ones as revoked. Raises as `push_wallets`."""
        away = Away()
        for page in _pages(key_ids):
            states = await self._store.key_states(page)
            await self._redis.put_keys(states, away=away)
            await self._redis.put_deleted_keys(list(set(page) - {state.key_id for state in states}), away=away)
        away.raise_any()

    @property
    def has_swept(self) -> bool:
        """Has all that changed before now been looked at once?"""
        return self._swept_ms > 0

    async def run(self, stop: asyncio.Event) -> None:
        """Listens and sweeps until `stop` is set; what fails is tried again."""
        listener = Listener(
            self._url,
            CHANNELS,
            hear=self._on_announcement,
            begin=self._sweep_next,
            work=self._catch_up,
            failures=_FAILURES,
            application_name="farebox-mirror",
        )
        await listener.run(stop)

    def _sweep_next(self) -> None:
        self._sweep_now = True

    def _on_announcement(self, channel: str, payload: str) -> None:
        waiting = self._announced[channel]
        if len(waiting) >= MAX_ANNOUNCED:
            waiting.clear()
            self._sweep_now = True
        waiting.add(payload)

    async def _catch_up(self) -> float:
        """Brings over what was announced and sweeps if it is time; seconds until there is more to do.

        With several shards, what could not be brought to one of them is tried again a little later.
        """
        steps: list[Callable[[], Awaitable[None]]] = [
            partial(self._push_announced, channel, push) for channel, push in self._pushers()
        ]
        if self._sweep_now or self._clock_ms() >= self._sweep_due_ms:
            steps.append(self.sweep)
        is_all_there = True
        for step in steps:
            try:
                await step()
            except RedisError as error:
                if self._redis.shards == 1:
                    raise
                is_all_there = False
                log.warning("shards_away", error=type(error).__name__)
        due_s = max(0.0, (self._sweep_due_ms - self._clock_ms()) / 1000)
        return due_s if is_all_there else min(due_s, AGAIN_S)

    def _pushers(self) -> list[tuple[str, Callable[[set[str]], Awaitable[None]]]]:
        return [
            ("farebox_keys", lambda announced: self.push_keys(_ids(announced))),
            ("farebox_wallets", lambda announced: self.push_wallets(_ids(announced))),
        ]

    async def _push_announced(self, channel: str, push: Callable[[set[str]], Awaitable[None]]) -> None:
        taken, self._announced[channel] = self._announced[channel], set()
        if not taken:
            return
        try:
            await push(taken)
        except _FAILURES:
            self._announced[channel] |= taken
            raise

    async def sweep(self) -> None:
        """Brings up to date what changed since the last sweep and is in Redis.

        Raises RedisError, at once where no shard can be reached; where some can, when those are up to date. It counts
        as a sweep only if all were reached, but is not repeated before its time: it may read many rows.
        """
        began_ms, away = self._clock_ms(), Away()
        since = datetime.fromtimestamp(self._swept_ms / 1000, UTC) - timedelta(seconds=SWEEP_MARGIN_S)
        async for keys in _all_pages(self._store.keys_changed, since, lambda key: key.key_id):
            await self._redis.put_keys(keys, only_known=True, away=away)
            self._must_reach_one(away)
        async for wallets in _all_pages(self._store.wallets_changed, since, lambda wallet: wallet.wallet_id):
            await self._redis.put_wallets(wallets, only_known=True, away=away)
            self._must_reach_one(away)
        self._sweep_now, self._sweep_due_ms = False, began_ms + int(self._sweep_interval_s * 1000)
        away.raise_any()
        self._swept_ms = began_ms

    def _must_reach_one(self, away: Away) -> None:
        if len(away.errors) == self._redis.shards:
            away.raise_any()


def _ids(announced: Iterable[str]) -> list[UUID]:
    """Anybody who can connect may announce anything: what is no id is no announcement of ours."""
    found = []
    for payload in announced:
        try:
            found.append(UUID(payload))
        except ValueError:
            log.warning("announcement_not_understood")
    return found


def _pages(ids: Iterable[UUID]) -> Iterator[list[UUID]]:
    every = list(ids)
    for start in range(0, len(every), PAGE):
        yield every[start : start + PAGE]


async def _all_pages(
    read: Callable[[datetime, UUID, int], Awaitable[list[T]]], since: datetime, id_of: Callable[[T], UUID]
) -> AsyncIterator[list[T]]:
    after = _FIRST_ID
    while page := await read(since, after, PAGE):
        yield page
        after = id_of(page[-1])
