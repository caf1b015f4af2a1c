"""What an administrator does to somebody's key: committed together with its line in the log, felt, then reported."""

from collections.abc import Sequence
from typing import Any, Protocol
from uuid import UUID

from accounts.admin_log import Act, record_act
from accounts.errors import KeyNotFound
from runtime.postgres import Connection, Pool
from runtime.sql import load_queries

_QUERIES = load_queries("accounts", "sql/admin_acts.sql")


class Mirror(Protocol):
    """Brings a committed change to every proxy before anybody is told that it is done."""

    async def push_keys(self, ids: Sequence[UUID]) -> None: ...


class KeyActs:
    """`by` says who did it: an administrator's user id, or `cli:` and a name. What changes nothing leaves no line.

    Raises KeyNotFound; runtime.postgres.UNAVAILABLE while Postgres is away. After redis.RedisError it is done, and
    Redis hears of it later.
    """

    def __init__(self, pool: Pool, mirror: Mirror) -> None:
        self._pool = pool
        self._mirror = mirror

    async def freeze(self, key_id: UUID, frozen: bool, reason: str, by: str) -> bool:
        """A frozen key is refused from its next request on, until it is let go. False: it was so already."""
        async with self._pool.acquire() as connection, connection.transaction():
            key = await _lock(connection, key_id)
            is_new: bool = key["is_frozen"] != frozen
            if is_new:
                await connection.execute(_QUERIES["freeze_key"], key_id, frozen)
                before, after = {"frozen": key["is_frozen"]}, {"frozen": frozen}
                action = "key.freeze" if frozen else "key.unfreeze"
                await record_act(connection, Act(by, action, "key", str(key_id), key["user_id"], before, after, reason))
        await self._mirror.push_keys([key_id])
        return is_new

    async def revoke(self, key_id: UUID, reason: str, by: str) -> bool:
        """Refused by every proxy from its next request on, before this returns, for good. False: it was so already."""
        async with self._pool.acquire() as connection, connection.transaction():
            key = await _lock(connection, key_id)
            is_new: bool = key["is_active"]
            if is_new:
                await connection.execute(_QUERIES["revoke_key"], key_id)
                before, after = {"active": True}, {"active": False}
                act = Act(by, "key.revoke", "key", str(key_id), key["user_id"], before, after, reason)
                await record_act(connection, act)
        await self._mirror.push_keys([key_id])
        return is_new


async def _lock(connection: Connection, key_id: UUID) -> Any:
    row = await connection.fetchrow(_QUERIES["lock_key"], key_id)
    if row is None:
        raise KeyNotFound("there is no such key")
    return row
