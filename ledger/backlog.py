"""Says in the log when events wait for too long to be posted: how many, when it begins, grows and is over.

New requests are refused when `most` wait (metering/lua/admit.lua); an operator should hear of it long before.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import structlog
from redis.asyncio import Redis

from ledger.redis_schema import usage_stream

log = structlog.get_logger("farebox.ledger")

INTERVAL_S = 5.0
# A writer posts several thousand in a second: so many wait only where Postgres is away or too slow.
WORTH_SAYING = 10_000


class Backlog(NamedTuple):
    """What of one shard is not posted yet. `oldest_ms`: when the first of it was settled, by Redis' clock."""

    events: int
    oldest_ms: int | None

    def age_ms(self, now_ms: int) -> int:
        """How long the oldest has waited; the clocks may be a little apart."""
        return 0 if self.oldest_ms is None else max(0, now_ms - self.oldest_ms)


async def read_backlog(redis: Redis, shard: int) -> Backlog:
    """Acknowledged events have left the Stream, so it is all that is in there. Raises redis.RedisError."""
    name = usage_stream(shard)
    first: Any = await redis.xrange(name, count=1)
    oldest_ms = int(first[0][0].partition(b"-")[0]) if first else None
    return Backlog(int(await redis.xlen(name)), oldest_ms)


@dataclass(slots=True)
class BacklogWatch:
    """Told again when it has doubled; any number of processes may look, each tells for itself."""

    redis: Redis
    most: int
    shards: int = 1
    _said: dict[int, int] = field(default_factory=dict)

    async def look(self) -> Mapping[int, int]:
        """Events per shard that are not posted yet. Raises redis.RedisError."""
        waiting = {shard: int(await self.redis.xlen(usage_stream(shard))) for shard in range(self.shards)}
        for shard, count in waiting.items():
            self._tell(shard, count)
        return waiting

    def _tell(self, shard: int, count: int) -> None:
        said = self._said.get(shard, 0)
        if count >= max(min(WORTH_SAYING, self.most // 2), 2 * said):
            self._said[shard] = count
            log.warning("ledger_backlog", shard=shard, count=count, left=max(0, self.most - count))
        elif said and count < said // 2:
            del self._said[shard]
            log.info("ledger_backlog_gone", shard=shard, count=count)
