"""Keys, as operators make and change them. The whole key is shown once, to whoever had it made, and is kept nowhere."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from accounts.admin_log import Act, record_act
from accounts.key_changes import QUERIES, Mirror, Rotated, change, insert, listed, lock, mint, rotate
from accounts.key_format import KeyFormat
from accounts.key_terms import ApiKey, Changes, NewKey, difference, wanted_again
from runtime.postgres import Connection, Pool

__all__ = ["ApiKey", "Keys", "Mirror", "NewKey"]


class Keys:
    """Anybody's keys, beyond what users may ask for. Raises runtime.postgres.UNAVAILABLE while Postgres is away.

    `by` says who does it and `reason` why: then it is in the log of acts (`admin_log`); without, nobody's act.
    """

    def __init__(self, pool: Pool, mirror: Mirror, key_format: KeyFormat, bcrypt_cost: int) -> None:
        self._pool = pool
        self._mirror = mirror
        self._format = key_format
        self._bcrypt_cost = bcrypt_cost

    async def create(self, wanted: NewKey, *, by: str | None = None, reason: str = "") -> tuple[str, ApiKey]:
        """A new key and its row; the user's wallet is made if there is none."""
        minted = await mint(self._format, self._bcrypt_cost)
        async with self._pool.acquire() as connection, connection.transaction():
            key = await insert(connection, wanted, minted)
            after = {"name": key.name, "key_prefix": key.key_prefix}
            await _note(connection, by, "key.create", key.id, wanted.user_id, None, after, reason)
        return minted.key, key

    async def of_user(self, user_id: UUID) -> list[ApiKey]:
        """Newest first; of those no longer in force only the latest."""
        async with self._pool.acquire() as connection:
            return await listed(connection, user_id)

    async def change(self, key_id: UUID, changes: Changes, *, by: str | None = None, reason: str = "") -> ApiKey:
        """Felt by every proxy before this returns. Raises KeyNotFound, KeyNotInForce."""
        async with self._pool.acquire() as connection, connection.transaction():
            was, key = await change(connection, key_id, changes)
            before, after = difference(was, wanted_again(key, was.user_id))
            await _note(connection, by, "key.update", key_id, was.user_id, before, after, reason)
        await self._mirror.push_keys([key_id])
        return key

    async def rotate(self, key_id: UUID, grace_s: int, *, by: str | None = None, reason: str = "") -> Rotated:
        """A new key for an old one, whose end every proxy knows before this returns. Raises as `change`."""
        async with self._pool.acquire() as connection, connection.transaction():
            user_id, old = await lock(connection, key_id, None)
        await self._mirror.push_keys([key_id])  # see UserKeys.rotate
        minted = await mint(self._format, self._bcrypt_cost)
        async with self._pool.acquire() as connection, connection.transaction():
            rotated = await rotate(connection, key_id, grace_s, minted)
            before, after = {"expires_at": old.expires_at}, {"expires_at": rotated.old_ends_at, "new": rotated.row.id}
            await _note(connection, by, "key.rotate", key_id, user_id, before, after, reason)
        await self._mirror.push_keys([key_id])
        return rotated

    async def revoke(self, key_id: UUID) -> bool:
        """Refused by every proxy from its next request on, before this returns; False: there is no such key."""
        found = await self._pool.fetchval(QUERIES["revoke"], key_id)
        if found is None:
            return False
        await self._mirror.push_keys([key_id])
        return True


async def _note(
    connection: Connection,
    by: str | None,
    action: str,
    key_id: UUID,
    user_id: UUID,
    before: Mapping[str, Any] | None,
    after: Mapping[str, Any],
    reason: str,
) -> None:
    if by is not None:
        await record_act(connection, Act(by, action, "key", str(key_id), user_id, before, after, reason))
