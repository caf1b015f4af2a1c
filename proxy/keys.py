"""Who presents this key: this process -> Redis -> Postgres rows with its prefix -> bcrypt in a thread.

The caches say *who*, never whether the key is still good: that is asked at admission, each time. Only what bcrypt
has verified is cached, under an HMAC of the whole key. Equal look-ups in flight are joined. A key whose prefix
nobody has never reaches bcrypt; a wrong key is remembered for a short while.
"""

import asyncio
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

import orjson
from redis.asyncio import Redis
from redis.exceptions import RedisError

from accounts.key_format import KeyFormat, cache_id, lookup_prefix, matches_hash
from ledger.postgres import KeyRow
from proxy.failures import Failure, invalid_api_key, retry_after
from runtime.coalesce import Coalescer, Overloaded
from runtime.expiring import Expiring
from runtime.postgres import UNAVAILABLE
from runtime.tasks import TaskSet

# A verified key stays who it is: the times bound memory and the life of a deleted row, not security.
_KNOWN_SIZE = 50_000
_KNOWN_TTL_S = 300.0
_REDIS_TTL_S = 3_600
_WRONG_SIZE = 50_000
_WRONG_TTL_S = 10.0
# bcrypt at cost 10 takes about 50 ms of a core, and lets go of the interpreter lock while it does.
_BCRYPT_THREADS = 2
_BCRYPT_WAITING = 128
# Wrong keys with somebody's right prefix may not keep everybody else from being verified.
_BCRYPT_WAITING_PER_PREFIX = 8
_PREFIXES_PER_QUERY = 256
_WAITING_FOR_QUERY = 5_000
_BUSY_RETRY_MS = 1_000


@dataclass(frozen=True, slots=True)
class Identity:
    """Whose key it is."""

    key_id: UUID
    user_id: UUID
    wallet_id: UUID


class KeyStore(Protocol):
    async def keys_by_prefix(self, prefixes: Sequence[str]) -> Sequence[KeyRow]: ...


class KeyVerifier:
    """Turns a presented key into an `Identity`, or raises the `Failure` to answer with."""

    def __init__(
        self, redis: Redis, store: KeyStore, key_format: KeyFormat, pepper: bytes, *, needs_cache: bool = True
    ) -> None:
        """`needs_cache` False: a cache that is away is gone past.

        Of one server that is away nothing is admitted anyway, and Postgres and bcrypt are spared. Of a cluster the
        node that keeps this key's name may be away while that of its wallet is well.
        """
        self._redis = redis
        self._needs_cache = needs_cache
        self._store = store
        self._format = key_format
        self._pepper = pepper
        self._known: Expiring[str, Identity] = Expiring(_KNOWN_SIZE, _KNOWN_TTL_S)
        self._wrong: Expiring[str, bool] = Expiring(_WRONG_SIZE, _WRONG_TTL_S)
        self._in_flight: dict[str, asyncio.Task[Identity | Failure | None]] = {}
        self._at_bcrypt: Counter[str] = Counter()
        self._threads = ThreadPoolExecutor(_BCRYPT_THREADS, thread_name_prefix="bcrypt")
        self._tasks = TaskSet()
        self._prefixes: Coalescer[str, list[KeyRow]] = Coalescer(
            self._rows_of,
            name="key-prefixes",
            max_batch=_PREFIXES_PER_QUERY,
            max_in_flight=1,
            max_waiting=_WAITING_FOR_QUERY,
        )

    async def verify(self, key: str) -> Identity:
        if not self._format.matches(key):
            raise invalid_api_key()
        name = cache_id(key, self._pepper)
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

    async def close(self) -> None:
        await self._tasks.cancel()
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _joined_look_up(self, name: str, key: str) -> Identity | None:
        task = self._in_flight.get(name)
        if task is None:
            task = self._tasks.spawn(self._answered_look_up(name, key), name="verify-key")
            self._in_flight[name] = task
            task.add_done_callback(lambda _: self._in_flight.pop(name, None))
        found = await asyncio.shield(task)
        if isinstance(found, Failure):
            raise found
        return found

    async def _answered_look_up(self, name: str, key: str) -> Identity | Failure | None:
        """A failure is a value here: a joined task has many readers, or, if all have left, none."""
        try:
            return await self._look_up(name, key)
        except RedisError:
            return _busy("limits_unavailable", "The limits store is away.")
        except UNAVAILABLE:
            return _busy("accounts_unavailable", "Keys cannot be verified right now.")
        except Overloaded:
            return _busy("overloaded", "Too many keys are being verified.")

    async def _look_up(self, name: str, key: str) -> Identity | None:
        cached = await self._cached(name)
        if cached is not None:
            return _decode(cached)
        rows = await self._prefixes.submit(lookup_prefix(key))
        for row in rows:
            if await self._is_match(key, row):
                identity = Identity(row.key_id, row.user_id, row.wallet_id)
                await self._cache(name, identity)
                return identity
        return None

    async def _cached(self, name: str) -> bytes | str | None:
        try:
            return await self._redis.get(_redis_key(name))
        except RedisError:
            if self._needs_cache:
                raise
            return None

    async def _cache(self, name: str, identity: Identity) -> None:
        try:
            await self._redis.set(_redis_key(name), _encode(identity), ex=_REDIS_TTL_S)
        except RedisError:
            if self._needs_cache:
                raise

    async def _is_match(self, key: str, row: KeyRow) -> bool:
        waiting = self._at_bcrypt
        if waiting.total() >= _BCRYPT_WAITING or waiting[row.key_prefix] >= _BCRYPT_WAITING_PER_PREFIX:
            raise Overloaded("bcrypt")
        waiting[row.key_prefix] += 1
        try:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._threads, matches_hash, key, row.key_hash)
        finally:
            waiting[row.key_prefix] -= 1
            if not waiting[row.key_prefix]:
                del waiting[row.key_prefix]

    async def _rows_of(self, prefixes: list[str]) -> list[list[KeyRow]]:
        by_prefix: dict[str, list[KeyRow]] = {prefix: [] for prefix in prefixes}
        for row in await self._store.keys_by_prefix(list(by_prefix)):
            by_prefix[row.key_prefix].append(row)
        return [by_prefix[prefix] for prefix in prefixes]


def _busy(code: str, message: str) -> Failure:
    return Failure(code, message, headers=retry_after(_BUSY_RETRY_MS))


def _redis_key(name: str) -> str:
    return f"fb:identity:{name}"


def _encode(identity: Identity) -> bytes:
    # asyncpg has a UUID class of its own, which orjson knows only as "something else"
    return orjson.dumps([identity.key_id, identity.user_id, identity.wallet_id], default=str)


def _decode(raw: bytes | str) -> Identity:
    key_id, user_id, wallet_id = orjson.loads(raw)
    return Identity(UUID(key_id), UUID(user_id), UUID(wallet_id))
