"""Who presents this key: this process -> Redis -> Postgres rows with its prefix -> bcrypt in a thread.

The caches say *who*, never whether the key is still good: that is asked at admission, each time. Only what bcrypt
has verified is cached, under a keyed hash of the whole key. Equal look-ups in flight are joined. A key whose prefix
nobody has never reaches bcrypt; a wrong key is remembered for a short while.
"""

import asyncio
import os
from collections.abc import Sequence
from enum import Enum
from typing import Protocol

from redis.asyncio import Redis
from redis.exceptions import RedisError

from accounts.key_format import KeyFormat, cache_id, lookup_prefix, memory_id
from ledger.postgres import KeyRow
from proxy.failures import Failure, invalid_api_key, retry_after
from proxy.keys.cache import LOOK_UP_PAUSE_S, Identity, KeyCache
from proxy.keys.checks import KeyChecks
from runtime.coalesce import Coalescer, Overloaded
from runtime.expiring import Expiring
from runtime.postgres import UNAVAILABLE
from runtime.tasks import TaskSet

__all__ = ["Identity", "KeyStore", "KeyVerifier"]

# A verified key stays who it is: the times bound memory and the life of a deleted row, not security.
# More than are in use at once, 600 bytes each: to look one up in Redis costs half as much as the rest of a request.
_KNOWN_SIZE = 200_000
_KNOWN_TTL_S = 300.0
_WRONG_SIZE = 50_000
_WRONG_TTL_S = 10.0
# What names keys in this process's memory: of no use anywhere else, nor after it.
_SECRET_BYTES = 32
_PREFIXES_PER_QUERY = 256
_WAITING_FOR_QUERY = 5_000
_BUSY_RETRY_MS = 1_000


class _Busy(Enum):
    """Why nobody can say now whose key it is: the code and the words of a refusal."""

    REDIS = ("limits_unavailable", "The limits store is away.")
    POSTGRES = ("accounts_unavailable", "Keys cannot be verified right now.")
    OVERLOADED = ("overloaded", "Too many keys are being verified.")


class KeyStore(Protocol):
    async def keys_by_prefix(self, prefixes: Sequence[str]) -> Sequence[KeyRow]: ...


class KeyVerifier:
    """Turns a presented key into an `Identity`, or raises the `Failure` to answer with."""

    def __init__(
        self, redis: Redis, store: KeyStore, key_format: KeyFormat, pepper: bytes, *, needs_cache: bool = True
    ) -> None:
        """`needs_cache`: see `KeyCache`."""
        self._cache = KeyCache(redis, is_needed=needs_cache)
        self._checks = KeyChecks()
        self._store = store
        self._format = key_format
        self._pepper = pepper
        self._secret = os.urandom(_SECRET_BYTES)
        self._known: Expiring[bytes, Identity] = Expiring(_KNOWN_SIZE, _KNOWN_TTL_S)
        self._wrong: Expiring[bytes, bool] = Expiring(_WRONG_SIZE, _WRONG_TTL_S)
        self._in_flight: dict[bytes, asyncio.Task[Identity | _Busy | None]] = {}
        self._tasks = TaskSet()
        self._prefixes: Coalescer[str, list[KeyRow]] = Coalescer(
            self._rows_of,
            name="key-prefixes",
            max_batch=_PREFIXES_PER_QUERY,
            max_in_flight=1,
            max_waiting=_WAITING_FOR_QUERY,
            pause_s=LOOK_UP_PAUSE_S,
        )

    def known(self, key: str) -> Identity | None:
        """Whose it is, if this process has verified it; asks nobody."""
        return self._known.get(memory_id(key, self._secret)) if self._format.matches(key) else None

    async def verify(self, key: str) -> Identity:
        if not self._format.matches(key):
            raise invalid_api_key()
        name = memory_id(key, self._secret)
        identity = self._known.get(name)
        if identity is not None:
            return identity
        if self._wrong.get(name):
            raise invalid_api_key()
        identity = await self._joined_look_up(name, key)
        if identity is None:
            self._wrong.put(name, True)
            raise invalid_api_key()
        self._known.put(name, identity)
        return identity

    def waiting(self) -> dict[str, int]:
        """Keys that wait to be looked up, and to be checked."""
        return {"key_rows": len(self._prefixes), "key_checks": self._checks.waiting}

    async def close(self) -> None:
        await self._tasks.cancel()
        self._checks.close()

    async def _joined_look_up(self, name: bytes, key: str) -> Identity | None:
        task = self._in_flight.get(name)
        if task is None:
            task = self._tasks.spawn(self._answered_look_up(key), name="verify-key")
            self._in_flight[name] = task
            task.add_done_callback(lambda _: self._in_flight.pop(name, None))
        found = await asyncio.shield(task)
        if isinstance(found, _Busy):
            raise Failure(*found.value, headers=retry_after(_BUSY_RETRY_MS))
        return found

    async def _answered_look_up(self, key: str) -> Identity | _Busy | None:
        """What is in the way is a value here: a joined task has many readers, or, if all have left, none.

        And not one error for all: it would know its task through its traceback, and the task would know it. Thousands
        of such circles a second stop the process for the garbage collector.
        """
        try:
            return await self._look_up(key)
        except RedisError:
            return _Busy.REDIS
        except UNAVAILABLE:
            return _Busy.POSTGRES
        except Overloaded:
            return _Busy.OVERLOADED

    async def _look_up(self, key: str) -> Identity | None:
        name = cache_id(key, self._pepper)
        identity = await self._cache.find(name)
        if identity is not None:
            return identity
        prefix = lookup_prefix(key)
        self._checks.must_have_room(prefix, name)  # whoever floods one prefix does not reach Postgres
        for row in await self._prefixes.submit(prefix):
            if await self._checks.matches(key, name, row):
                identity = Identity(row.key_id, row.user_id, row.wallet_id)
                await self._cache.keep(name, identity)
                return identity
        return None

    async def _rows_of(self, prefixes: list[str]) -> list[list[KeyRow]]:
        by_prefix: dict[str, list[KeyRow]] = {prefix: [] for prefix in prefixes}
        for row in await self._store.keys_by_prefix(list(by_prefix)):
            by_prefix[row.key_prefix].append(row)
        return [by_prefix[prefix] for prefix in prefixes]
