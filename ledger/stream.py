"""One shard's stream of usage events, read as a member of the group `ledger`.

An event that was read stays *pending* for its reader until it is acknowledged. A reader that dies leaves its pending
events to be claimed by the others.
"""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from ledger import redis_schema as schema
from runtime.lua import load_script

# Pending for so long, an event's reader is dead or cannot reach Postgres: a statement may take 5 s. If it is neither,
# and has only much in hand that Postgres is slow with, both post: that is safe.
CLAIM_IDLE_MS = 10_000
# A live reader asks every BLOCK_MS; one that did not for an hour is not coming back under this name.
DEAD_CONSUMER_IDLE_MS = 3_600_000
# How long one read waits for events, and so how long a stop may have to wait for a read. Must stay below the socket
# timeout of the client.
BLOCK_MS = 500


class RawEvent(Struct, frozen=True):
    event_id: str
    fields: Mapping[bytes, bytes]


class UsageStream:
    """Needs a client that returns bytes. All methods raise redis.RedisError."""

    def __init__(
        self,
        redis: Redis,
        shard: int,
        consumer: str,
        *,
        claim_idle_ms: int = CLAIM_IDLE_MS,
        dead_idle_ms: int = DEAD_CONSUMER_IDLE_MS,
        block_ms: int = BLOCK_MS,
    ) -> None:
        self._redis = redis
        self._name = schema.usage_stream(shard)
        self._consumer = consumer
        self._claim_idle_ms = claim_idle_ms
        self._dead_idle_ms = dead_idle_ms
        self._block_ms = block_ms
        self._claim_from = "0-0"
        self._forget = load_script(redis, "ledger", "lua/forget_consumer.lua")

    async def join(self) -> None:
        """Makes the stream and the group where they are missing; the group starts at the first event."""
        try:
            await self._redis.xgroup_create(self._name, schema.LEDGER_GROUP, id="0", mkstream=True)
        except ResponseError as error:
            if "BUSYGROUP" not in str(error):
                raise

    async def read_own_pending(self, count: int) -> list[RawEvent]:
        """What an earlier run under this name read and did not finish."""
        return await self._read("0", count, None)

    async def read_new(self, count: int, *, wait: bool) -> list[RawEvent]:
        return await self._read(">", count, self._block_ms if wait else None)

    async def claim(self, count: int) -> list[RawEvent]:
        """Takes over a page of what has been pending for too long; an empty page when there is no more."""
        reply = await self._redis.xautoclaim(
            self._name,
            schema.LEDGER_GROUP,
            self._consumer,
            min_idle_time=self._claim_idle_ms,
            start_id=self._claim_from,
            count=count,
        )
        self._claim_from = reply[0].decode()
        return [_event(event_id, fields) for event_id, fields in reply[1] if event_id is not None]

    async def forget_dead(self) -> int:
        """Removes readers that are gone and left nothing pending; how many."""
        forgotten = 0
        for consumer in await self._redis.xinfo_consumers(self._name, schema.LEDGER_GROUP):
            if consumer["pending"] == 0 and consumer["idle"] >= self._dead_idle_ms:
                args = [schema.LEDGER_GROUP, consumer["name"], self._dead_idle_ms]
                forgotten += int(await self._forget(keys=[self._name], args=args))
        return forgotten

    async def _read(self, start: str, count: int, block_ms: int | None) -> list[RawEvent]:
        reply: Any = await self._redis.xreadgroup(
            schema.LEDGER_GROUP, self._consumer, {self._name: start}, count=count, block=block_ms
        )
        pairs: list[tuple[bytes, Any]] = reply[0][1] if reply else []
        return [_event(event_id, fields) for event_id, fields in pairs]


def _event(event_id: bytes, fields: Mapping[bytes, bytes] | None) -> RawEvent:
    """Pending events whose content was deleted come back without fields."""
    return RawEvent(event_id.decode(), fields or {})
