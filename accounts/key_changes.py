"""Keys made, changed, rotated: each on a connection whose transaction the caller holds open, as a user or as the owner.

What is committed must then be brought to the proxies, before anybody is told; see `Mirror`.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol
from uuid import UUID

from accounts.errors import KeyNotFound, TooManyKeys
from accounts.key_format import KeyFormat, hash_key, lookup_prefix
from accounts.key_terms import ApiKey, Changes, NewKey, api_key, columns, require_changeable, wanted_again
from runtime.postgres import Connection
from runtime.sql import load_queries

QUERIES = load_queries("accounts", "sql/keys.sql")
# Of a user's keys that are no longer in force, so many of the newest are listed.
LISTED = 1_000
# Keys in their grace count here: a user who rotates all keys at once has twice as many for a while.
_WHILE_ROTATING = 2


class Mirror(Protocol):
    """Brings a committed change to every proxy before anybody is told that it is done."""

    async def push_keys(self, ids: Sequence[UUID]) -> None: ...


@dataclass(frozen=True, slots=True)
class Minted:
    """A new key and its hash."""

    key: str
    key_hash: str


@dataclass(frozen=True, slots=True)
class Rotated:
    """`row` is the new key, `key` the whole of it, shown once; `old_ends_at` when the one it replaces ends."""

    key: str
    row: ApiKey
    old_id: UUID
    old_ends_at: datetime


async def mint(key_format: KeyFormat, bcrypt_cost: int) -> Minted:
    """The hash is made in a thread."""
    key = key_format.mint()
    return Minted(key, await asyncio.to_thread(hash_key, key, bcrypt_cost))


async def listed(connection: Connection, user_id: UUID) -> list[ApiKey]:
    """A user's keys, newest first: all that are in force, and the newest LISTED of all."""
    return [api_key(row) for row in await connection.fetch(QUERIES["of_user"], user_id, None, LISTED)]


async def insert(connection: Connection, wanted: NewKey, minted: Minted, *, rotated_from: UUID | None = None) -> ApiKey:
    """Keep what may be kept of a new key."""
    prefix = lookup_prefix(minted.key)
    key_id = await connection.fetchval(
        QUERIES["insert"], wanted.user_id, prefix, minted.key_hash, rotated_from, *columns(wanted)
    )
    return await _one(connection, wanted.user_id, key_id)


async def require_room(connection: Connection, user_id: UUID, most: int) -> None:
    """Room for one more key beside those that no other replaces. Until the transaction ends, others wait here.

    Raises TooManyKeys.
    """
    await connection.execute(QUERIES["lock_user"], user_id)
    counted = await connection.fetchrow(QUERIES["count"], user_id)
    if counted is not None and counted["not_replaced"] >= most:
        raise TooManyKeys(f"a user may have {most} keys: revoke one first")


async def require_room_to_rotate(connection: Connection, user_id: UUID, most: int) -> None:
    """The same for a key that lets the one it replaces live on: at most twice as many keys are in force at a time."""
    await connection.execute(QUERIES["lock_user"], user_id)
    counted = await connection.fetchrow(QUERIES["count"], user_id)
    if counted is not None and counted["in_force"] >= most * _WHILE_ROTATING:
        raise TooManyKeys("too many rotated keys are still in their grace period: revoke one, or rotate without grace")


async def change(
    connection: Connection, key_id: UUID, changes: Changes, *, owner: UUID | None = None
) -> tuple[NewKey, ApiKey]:
    """A key after `changes`; of any user where no owner is given. Its settings as they were, and the key as it is then.

    Raises KeyNotFound, and as `require_changeable`.
    """
    user_id, key = await lock(connection, key_id, owner)
    before = wanted_again(key, user_id)
    await connection.execute(QUERIES["change"], key_id, user_id, *columns(replace(before, **changes)))
    return before, await _one(connection, user_id, key_id)


async def rotate(
    connection: Connection, key_id: UUID, grace_s: int, minted: Minted, *, owner: UUID | None = None
) -> Rotated:
    """A new key with the settings of an old one, which ends after `grace_s`, and never later than it would have.

    Of many who rotate one key at once, one does. Raises as `change`.
    """
    user_id, old = await lock(connection, key_id, owner)
    row = await insert(connection, wanted_again(old, user_id), minted, rotated_from=key_id)
    await connection.execute(QUERIES["end_after"], key_id, user_id, float(grace_s))
    ended = await _one(connection, user_id, key_id)
    assert ended.expires_at is not None, "it was given an end"
    return Rotated(minted.key, row, key_id, ended.expires_at)


async def lock(connection: Connection, key_id: UUID, owner: UUID | None) -> tuple[UUID, ApiKey]:
    """Whose key it is, and the key, which nobody else changes until the transaction ends. Raises as `change`."""
    user_id: UUID | None = await connection.fetchval(QUERIES["lock"], key_id, owner)
    if user_id is None:
        raise KeyNotFound("there is no such key")
    key = await _one(connection, user_id, key_id)
    require_changeable(key)
    return user_id, key


async def _one(connection: Connection, user_id: UUID, key_id: UUID) -> ApiKey:
    row = await connection.fetchrow(QUERIES["of_user"], user_id, key_id, LISTED)
    assert row is not None, "it was written or locked in this transaction"
    return api_key(row)
