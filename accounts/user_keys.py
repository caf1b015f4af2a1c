"""A user's own keys, read and changed under that user's database role: a wrong query here finds nobody else's."""

from uuid import UUID

from accounts.as_user import as_user
from accounts.key_changes import (
    QUERIES,
    Mirror,
    Rotated,
    change,
    insert,
    listed,
    lock,
    mint,
    require_room,
    require_room_to_rotate,
    rotate,
)
from accounts.key_format import KeyFormat
from accounts.key_terms import ApiKey, Changes, NewKey
from ledger.postgres import Store
from runtime.settings import KeyPolicy


class UserKeys:
    """Limits are judged before, by `key_policy`. Raises runtime.postgres.UNAVAILABLE while Postgres is away."""

    def __init__(self, store: Store, mirror: Mirror, policy: KeyPolicy) -> None:
        self._store = store
        self._mirror = mirror
        self._format = KeyFormat(policy.prefix)
        self._bcrypt_cost = policy.bcrypt_cost
        self._most = policy.max_keys_per_user

    async def of_user(self, user_id: UUID) -> list[ApiKey]:
        """Newest first; of those no longer in force only the latest."""
        async with as_user(self._store.pool, user_id) as connection:
            return await listed(connection, user_id)

    async def create(self, wanted: NewKey) -> tuple[str, ApiKey]:
        """A new key and its row; the user's wallet is made if there is none. Raises TooManyKeys."""
        await self._store.ensure_wallet(wanted.user_id)
        minted = await mint(self._format, self._bcrypt_cost)
        async with as_user(self._store.pool, wanted.user_id) as connection:
            await require_room(connection, wanted.user_id, self._most)
            return minted.key, await insert(connection, wanted, minted)

    async def change(self, user_id: UUID, key_id: UUID, changes: Changes) -> ApiKey:
        """Felt by every proxy before this returns. Raises KeyNotFound, KeyNotInForce."""
        async with as_user(self._store.pool, user_id) as connection:
            _, key = await change(connection, key_id, changes, owner=user_id)
        await self._mirror.push_keys([key_id])
        return key

    async def rotate(self, user_id: UUID, key_id: UUID, grace_s: int) -> Rotated:
        """A new key for an old one, whose end every proxy knows before this returns.

        Raises as `change`, and TooManyKeys. While Redis is away it raises redis.RedisError, and nothing was done: the
        new key is shown once, so it must not get lost between the commit and the answer.
        """
        async with as_user(self._store.pool, user_id) as connection:
            await lock(connection, key_id, user_id)  # what cannot be costs no hash, and no id of others reaches Redis
        await self._mirror.push_keys([key_id])
        minted = await mint(self._format, self._bcrypt_cost)
        async with as_user(self._store.pool, user_id) as connection:
            if grace_s > 0:
                await require_room_to_rotate(connection, user_id, self._most)
            rotated = await rotate(connection, key_id, grace_s, minted, owner=user_id)
        await self._mirror.push_keys([key_id])
        return rotated

    async def revoke(self, user_id: UUID, key_id: UUID) -> bool:
        """Refused by every proxy from its next request on, before this returns; False: the user has no such key."""
        async with as_user(self._store.pool, user_id) as connection:
            found = await connection.fetchval(QUERIES["revoke_own"], key_id, user_id)
        if found is None:
            return False
        await self._mirror.push_keys([key_id])
        return True
