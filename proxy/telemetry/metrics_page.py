"""`/metrics`: what this process and the others on its port have counted, and what waits in the Stream.

Rendering is a thread's work, and asking Redis is bounded: a scrape may be slow, requests must not be.
"""

import asyncio
from dataclasses import dataclass
from hmac import compare_digest

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from ledger.backlog import Backlog, read_backlog
from proxy.http.answers import new_id_header
from runtime.clock import wall_ms
from runtime.http.request import Request
from runtime.http.response import Response
from runtime.metrics.book import Book, Snapshot, Values, merged
from runtime.metrics.page import render
from runtime.metrics.series import MILLISECONDS, Gauge, Metric
from runtime.metrics.slots import WRITE_INTERVAL_S, Slot

log = structlog.get_logger("farebox.metrics")

_REDIS_WAIT_S = 1.0

BACKLOG = Gauge("farebox_stream_events", "Requests that have ended and are not in Postgres yet.", ("shard",))
OLDEST = Gauge(
    "farebox_stream_oldest_seconds",
    "How long the oldest of them has waited: the posting lag.",
    ("shard",),
    per_unit=MILLISECONDS,
)
MAX_EVENTS = Gauge("farebox_stream_max_events", "With so many of a shard waiting, new requests are refused.")
REDIS_UP = Gauge("farebox_redis_up", "1: Redis has told how much waits; 0: one of its servers did not answer.")
# Of the servers, and not of one process: asked by whoever is asked.
ASKED: tuple[Metric, ...] = (BACKLOG, OLDEST, MAX_EVENTS, REDIS_UP)


@dataclass(slots=True)
class MetricsPage:
    """`slot`: where the other workers' counts are, if there are others."""

    book: Book
    redis: Redis
    shards: int
    max_events: int
    token: str | None = None
    slot: Slot | None = None

    async def show(self, request: Request) -> Response:
        if not self._may_ask(request):
            headers = [("www-authenticate", "Bearer"), ("content-type", "text/plain"), new_id_header()]
            return Response(401, headers, b"metrics.token is set: show it as a bearer token\n")
        asked = await self._ask_redis()
        now_ms = wall_ms()
        snapshot = self.book.snapshot(now_ms)
        others: list[Snapshot] = []
        if self.slot is not None:
            self._write(self.slot, snapshot)  # first: what was told is not taken back if this process dies now
            others = self.slot.others()
        values = merged(self.book.metrics, [snapshot, *others], now_ms) | asked
        metrics = (*self.book.metrics, *ASKED)
        body, content_type = await asyncio.to_thread(render, metrics, values, request.headers.get("Accept", ""))
        return Response(200, [("content-type", content_type), new_id_header()], body)

    async def keep_slot(self, slot: Slot) -> None:
        """Writes it every second, until cancelled."""
        while True:
            self._write(slot, self.book.snapshot(wall_ms()))
            await asyncio.sleep(WRITE_INTERVAL_S)

    def _write(self, slot: Slot, snapshot: Snapshot) -> None:
        try:
            slot.write(snapshot)
        except OSError as error:
            log.warning("metrics_not_written", error=type(error).__name__)

    def _may_ask(self, request: Request) -> bool:
        if self.token is None:
            return True
        presented = request.headers.get("Authorization", "").encode("utf-8", "surrogateescape")
        return compare_digest(presented, f"Bearer {self.token}".encode())

    async def _ask_redis(self) -> Values:
        found = await asyncio.gather(*(self._backlog_of(shard) for shard in range(self.shards)))
        known = {(str(shard),): waiting for shard, waiting in enumerate(found) if waiting is not None}
        now_ms = wall_ms()
        return {
            BACKLOG.name: {labels: waiting.events for labels, waiting in known.items()},
            OLDEST.name: {labels: waiting.age_ms(now_ms) for labels, waiting in known.items()},
            MAX_EVENTS.name: {(): self.max_events},
            REDIS_UP.name: {(): int(len(known) == self.shards)},
        }

    async def _backlog_of(self, shard: int) -> Backlog | None:
        """None: its server does not say."""
        try:
            async with asyncio.timeout(_REDIS_WAIT_S):
                return await read_backlog(self.redis, shard)
        except (RedisError, OSError, TimeoutError):
            return None
