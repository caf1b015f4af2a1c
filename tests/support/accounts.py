"""The control plane over real servers, without HTTP: keys, wallets, prices and what brings them to Redis."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from redis.asyncio import Redis

from accounts.key_format import KeyFormat
from accounts.keys import Keys
from accounts.wallets import Wallets
from ledger.balances import StateMirror
from ledger.postgres import Store
from ledger.redis_schema import key_state_key, wallet_key
from ledger.redis_store import RedisStore
from runtime.postgres import create_pool

# bcrypt's lowest: what it costs is not what is tested.
BCRYPT_COST = 4


@dataclass(frozen=True)
class Office:
    redis: Redis
    store: Store
    keys: Keys
    wallets: Wallets

    async def key_in_redis(self, key_id: UUID) -> dict[str, int]:
        return await self._numbers(key_state_key(0, key_id))

    async def wallet_in_redis(self, wallet_id: UUID) -> dict[str, int]:
        return await self._numbers(wallet_key(0, wallet_id))

    async def _numbers(self, name: str) -> dict[str, int]:
        found: dict[Any, Any] = await self.redis.hgetall(name)
        return {field.decode(): int(value) for field, value in found.items()}


@asynccontextmanager
async def accounts_office(database_url: str, redis_url: str) -> AsyncIterator[Office]:
    pool = await create_pool(database_url)
    redis = Redis.from_url(redis_url)
    try:
        store = Store(pool)
        mirror = StateMirror(RedisStore(redis), store, database_url)
        yield Office(redis, store, Keys(pool, mirror, KeyFormat(), BCRYPT_COST), Wallets(store, mirror))
    finally:
        await redis.aclose()
        await pool.close()
