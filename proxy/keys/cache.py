"""Verified keys in Redis, under an HMAC of the whole key: who they belong to, for every proxy.

Look-ups of one tick travel together: by itself each would cost a proxy more than all the rest of refusing a wrong key.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from uuid import UUID

import orjson
from redis.asyncio import Redis
from redis.exceptions import RedisError

from runtime.coalesce import Coalescer

# From when it was last looked up here, which a process that uses it does every few minutes. A verified key stays who it
# is: the time bounds memory and the life of a deleted row, not security. As long as it lasts nobody who tries keys with
# the same beginning is in its owner's way.
_TTL_S = 3_600
_KEYS_PER_CALL = 256
_CALLS_IN_FLIGHT = 2
_WAITING = 5_000
# Here and in Postgres. Only keys that this process does not know are looked up: who is right waits for this once, and
# longer for bcrypt. In a flood of wrong keys each look-up carries more of them.
LOOK_UP_PAUSE_S = 0.002


@dataclass(frozen=True, slots=True)
class Identity:
    """Whose key it is."""

    key_id: UUID
    user_id: UUID
    wallet_id: UUID


class KeyCache:
    def __init__(self, redis: Redis, *, is_needed: bool = True) -> None:
        """`is_needed` False: a cache that is away is gone past.

        Of one server that is away nothing is admitted anyway, and Postgres and bcrypt are spared. Of a cluster the
        node that keeps this key's name may be away while that of its wallet is well.
        """
        self._redis = redis
        self._is_needed = is_needed
        self._look_ups: Coalescer[str, bytes | str | None] = Coalescer(
            self._get,
            name="key-cache",
            max_batch=_KEYS_PER_CALL,
            max_in_flight=_CALLS_IN_FLIGHT,
            max_waiting=_WAITING,
            pause_s=LOOK_UP_PAUSE_S,
        )

    async def find(self, name: str) -> Identity | None:
        """Raises Overloaded; RedisError where the cache is needed and away."""
        found = await self._look_ups.submit(name)
        return None if found is None else _decode(found)

    async def keep(self, name: str, identity: Identity) -> None:
        """Raises RedisError where the cache is needed and away."""
        try:
            await self._redis.set(_redis_key(name), _encode(identity), ex=_TTL_S)
        except RedisError:
            if self._is_needed:
                raise

    async def _get(self, names: list[str]) -> Sequence[bytes | str | None]:
        if self._is_needed:
            found: list[bytes | str | None] = await self._redis.mget(map(_redis_key, names))
            await self._keep_on([name for name, value in zip(names, found, strict=True) if value is not None])
            return found
        # the names are on any of a cluster's nodes
        calls = self._redis.pipeline(transaction=False)
        for name in names:
            calls.getex(_redis_key(name), ex=_TTL_S)
        answers = await calls.execute(raise_on_error=False)
        return [None if isinstance(answer, RedisError) else answer for answer in answers]

    async def _keep_on(self, names: list[str]) -> None:
        """Wrong keys are most of those in a flood, and cost no more than before."""
        if names:
            calls = self._redis.pipeline(transaction=False)
            for name in names:
                calls.expire(_redis_key(name), _TTL_S)
            with suppress(RedisError):  # what was asked for is there
                await calls.execute(raise_on_error=False)


def _redis_key(name: str) -> str:
    return f"fb:identity:{name}"


def _encode(identity: Identity) -> bytes:
    # asyncpg has a UUID class of its own, which orjson knows only as "something else"
    return orjson.dumps([identity.key_id, identity.user_id, identity.wallet_id], default=str)


def _decode(raw: bytes | str) -> Identity:
    key_id, user_id, wallet_id = orjson.loads(raw)
    return Identity(UUID(key_id), UUID(user_id), UUID(wallet_id))
