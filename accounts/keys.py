"""Keys: made, listed, revoked. The whole key is shown once, to whoever had it made, and then nobody has it but them."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from accounts.key_format import KeyFormat, hash_key, lookup_prefix
from runtime.postgres import Connection, Pool
from runtime.sql import load_queries

QUERIES = load_queries("accounts", "sql/keys.sql")


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A stored key, without its hash."""

    id: UUID
    key_prefix: str
    name: str
    rate_limit_per_minute: int
    rate_limit_per_day: int
    is_active: bool
    last_used_at: datetime | None
    created_at: datetime
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class NewKey:
    """What is asked for; limits in requests."""

    user_id: UUID
    name: str
    requests_per_minute: int = 60
    requests_per_day: int = 1000
    expires_at: datetime | None = None


class Mirror(Protocol):
    """Brings a committed change to every proxy before anybody is told that it is done."""

    async def push_keys(self, ids: Sequence[UUID]) -> None: ...


class Keys:
    """The keys in Postgres. All methods raise runtime.postgres.UNAVAILABLE while it is away."""

    def __init__(self, pool: Pool, mirror: Mirror, key_format: KeyFormat, bcrypt_cost: int) -> None:
        self._pool = pool
        self._mirror = mirror
        self._format = key_format
        self._bcrypt_cost = bcrypt_cost

    async def create(self, wanted: NewKey) -> tuple[str, ApiKey]:
        """A new key and its row; the user's wallet is made if there is none."""
        key, key_hash = await mint(self._format, self._bcrypt_cost)
        return key, await insert(self._pool, wanted, key, key_hash)

    async def of_user(self, user_id: UUID) -> list[ApiKey]:
        """Newest first."""
        return [api_key(row) for row in await self._pool.fetch(QUERIES["of_user"], user_id)]

    async def revoke(self, key_id: UUID) -> bool:
        """Refused by every proxy from its next request on, before this returns; False: there is no such key."""
        found = await self._pool.fetchval(QUERIES["revoke"], key_id)
        if found is None:
            return False
        await self._mirror.push_keys([key_id])
        return True


def api_key(row: Any) -> ApiKey:
    return ApiKey(**dict(row))


async def mint(key_format: KeyFormat, bcrypt_cost: int) -> tuple[str, str]:
    """A new key and its hash, which is made in a thread."""
    key = key_format.mint()
    return key, await asyncio.to_thread(hash_key, key, bcrypt_cost)


async def insert(connection: "Connection | Pool", wanted: NewKey, key: str, key_hash: str) -> ApiKey:
    """Keep what may be kept of a new key."""
    row = await connection.fetchrow(
        QUERIES["insert"],
        wanted.user_id,
        lookup_prefix(key),
        key_hash,
        wanted.name,
        wanted.requests_per_minute,
        wanted.requests_per_day,
        wanted.expires_at,
    )
    return api_key(row)
