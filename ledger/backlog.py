"""Says in the log when events wait for too long to be posted: how many, when it begins, grows and is over.

New requests are refused when `most` wait (metering/lua/admit.lua); an operator should hear of it long before.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import structlog
from redis.asyncio import Redis

from ledger.redis_schema import usage_stream

log = structlog.get_logger("farebox.ledger")

INTERVAL_S = 5.0
# A writer posts several thousand in a second: so many wait only where Postgres is away or too slow.
WORTH_SAYING = 10_000


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
