"""Is Redis still the one that it was, or was a shard emptied? Then what was used and not posted by then is lost.

Each shard keeps a mark, made by whichever ledger process first finds none; Postgres remembers all that were met.
"""

from typing import Any
from uuid import UUID, uuid4

from redis.asyncio import Redis

from ledger.redis_schema import life_key
from runtime.postgres import Connection, Pool
from runtime.sql import load_queries

_QUERIES = load_queries("ledger", "sql/lives.sql")


async def life_of(redis: Redis, shard: int) -> UUID:
    """The shard's mark, made if there is none; any number who ask at once get the same. Raises RedisError."""
    name = life_key(shard)
    if await redis.get(name) is None:
        await redis.set(name, uuid4().bytes, nx=True)
    mark: Any = await redis.get(name)
    return UUID(bytes=mark)


async def note_life(pool: Pool, shard: int, life: UUID) -> bool:
    """True: the shard was emptied since somebody last looked. Raises runtime.postgres.UNAVAILABLE."""
    return bool(await pool.fetchval(_QUERIES["note_life"], shard, life))


async def accept_losses(connection: Connection) -> int:
    """Nobody need be told again of what was lost so far; how many times that was."""
    count: int = await connection.fetchval(_QUERIES["accept_losses"])
    return count
