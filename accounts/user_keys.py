"""A user's own keys, read and changed under that user's database role: a wrong query here finds nobody else's."""

from uuid import UUID

from accounts.as_user import as_user
from accounts.key_format import KeyFormat
from accounts.keys import QUERIES, ApiKey, Mirror, NewKey, api_key, insert, mint
from ledger.postgres import Store


class UserKeys:
    """All methods raise runtime.postgres.UNAVAILABLE while Postgres is away."""

    def __init__(self, store: Store, mirror: Mirror, key_format: KeyFormat, bcrypt_cost: int) -> None:
        self._store = store
        self._mirror = mirror
        self._format = key_format
        self._bcrypt_cost = bcrypt_cost

    async def of_user(self, user_id: UUID) -> list[ApiKey]:
        """Newest first."""
        async with as_user(self._store.pool, user_id) as connection:
            return [api_key(row) for row in await connection.fetch(QUERIES["of_user"], user_id)]

    async def create(self, wanted: NewKey) -> tuple[str, ApiKey]:
        """A new key and its row; the user's wallet is made if there is none."""
        await self._store.ensure_wallet(wanted.user_id)
        key, key_hash = await mint(self._format, self._bcrypt_cost)
        async with as_user(self._store.pool, wanted.user_id) as connection:
            return key, await insert(connection, wanted, key, key_hash)

    async def revoke(self, user_id: UUID, key_id: UUID) -> bool:
        """Refused by every proxy from its next request on, before this returns; False: the user has no such key."""
        async with as_user(self._store.pool, user_id) as connection:
            found = await connection.fetchval(QUERIES["revoke_own"], key_id, user_id)
        if found is None:
            return False
        await self._mirror.push_keys([key_id])
        return True
