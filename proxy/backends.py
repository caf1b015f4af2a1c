"""The servers that everything stands on, reached at the start or not at all."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from redis.asyncio import Redis
from redis.exceptions import RedisError

from ledger.balances import StateMirror
from ledger.postgres import Store
from ledger.redis_store import RedisStore
from proxy import redis_client
from runtime.postgres import UNAVAILABLE, Pool, close_pool, create_pool
from runtime.settings import AccountsConfig, Database

_START_TIMEOUT_S = 10.0


class StartError(Exception):
    """The process cannot serve: what is missing, in words for an operator."""


@dataclass(frozen=True, slots=True)
class Backends:
    """The servers that everything stands on, and what speaks to them."""

    redis: Redis
    pool: Pool
    store: Store
    mirror: StateMirror


@asynccontextmanager
async def open_backends(
    config: AccountsConfig, application_name: str, *, redis_timeout_s: float | None = None
) -> AsyncIterator[Backends]:
    """Connect to Redis and Postgres; raises StartError if one of them does not answer in time."""
    async with AsyncExitStack() as stack:
        timeout_s = config.redis.timeout_s if redis_timeout_s is None else redis_timeout_s
        redis = redis_client.connect(config.redis.url.get_secret_value(), timeout_s)
        stack.push_async_callback(redis.aclose)
        pool = await open_pool(config.database, application_name)
        stack.push_async_callback(close_pool, pool)
        await _must_answer(redis)
        store = Store(pool)
        url = config.database.url.get_secret_value()
        yield Backends(redis, pool, store, StateMirror(RedisStore(redis), store, url))


async def open_pool(database: Database, application_name: str) -> Pool:
    """Connections to a Postgres that has answered; raises StartError."""
    try:
        async with asyncio.timeout(_START_TIMEOUT_S):
            pool = await create_pool(
                database.url.get_secret_value(),
                max_size=database.max_connections,
                command_timeout_s=database.timeout_s,
                application_name=application_name,
            )
            await pool.fetchval("SELECT 1")
            return pool
    except UNAVAILABLE as error:
        raise StartError(f"database.url: Postgres does not answer ({in_short(error)})") from error
    except Exception as error:
        raise StartError(f"database.url: Postgres refuses ({in_short(error)})") from error


async def _must_answer(redis: Redis) -> None:
    try:
        async with asyncio.timeout(_START_TIMEOUT_S):
            await redis.ping()
    except (RedisError, OSError, TimeoutError) as error:
        raise StartError(f"redis.url: Redis or Valkey does not answer ({in_short(error)})") from error


def in_short(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".split("\n", 1)[0].rstrip(": ")
