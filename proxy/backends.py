"""The servers that everything stands on, reached at the start or not at all."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from redis.asyncio import Redis
from redis.exceptions import MovedError, RedisError

from ledger.balances import StateMirror
from ledger.migrate import pending
from ledger.postgres import Store
from ledger.redis_store import RedisStore
from ledger.shards import OtherShards, claim_shards
from proxy import redis_client
from proxy.process.starting import StartError
from runtime.postgres import UNAVAILABLE, Pool, close_pool, create_pool
from runtime.settings import AccountsConfig, Database, RedisServer

_START_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class Backends:
    """The servers that everything stands on, and what speaks to them."""

    redis: Redis
    pool: Pool
    store: Store
    mirror: StateMirror
    shards: int = 1


@asynccontextmanager
async def open_backends(
    config: AccountsConfig, application_name: str, *, redis_timeout_s: float | None = None, redis_waiting: int = 0
) -> AsyncIterator[Backends]:
    """Connect to Redis and Postgres; raises StartError if one of them does not answer in time."""
    async with AsyncExitStack() as stack:
        shards = config.redis.shards
        redis = connect_redis(config.redis, redis_timeout_s, waiting=redis_waiting)
        stack.push_async_callback(redis.aclose)
        pool = await open_pool(config.database, application_name)
        stack.push_async_callback(close_pool, pool)
        await _must_be_migrated(pool)
        await _must_answer(redis, shards)
        store = Store(pool)
        url = config.database.url.get_secret_value()
        yield Backends(redis, pool, store, StateMirror(RedisStore(redis, shards), store, url), shards)


def connect_redis(server: RedisServer, timeout_s: float | None = None, *, waiting: int = 0) -> Redis:
    """A client as it is configured; `timeout_s` and `waiting` are for those who wait for events."""
    url, timeout_s = server.url.get_secret_value(), server.timeout_s if timeout_s is None else timeout_s
    if server.cluster:
        return redis_client.connect_cluster(url, server.nodes, timeout_s, waiting=waiting)
    return redis_client.connect(url, timeout_s, waiting=waiting)


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


async def _must_be_migrated(pool: Pool) -> None:
    """Postgres answered a moment ago; should it be away by now, that is for those who use it."""
    try:
        async with pool.acquire() as connection:
            names = await pending(connection)
    except UNAVAILABLE:
        return
    if names:
        raise StartError(f"database.url: run `farebox migrate` first: it does not have {', '.join(names)}")


async def _must_answer(redis: Redis, shards: int) -> None:
    """And know of no other number of shards."""
    try:
        async with asyncio.timeout(_START_TIMEOUT_S):
            await redis.ping()
            await claim_shards(redis, shards)
    except OtherShards as error:
        raise StartError(f"redis.shards: {error}") from error
    except MovedError as error:
        raise StartError("redis.url: this is a node of a cluster; set redis.cluster: true") from error
    except (RedisError, OSError, TimeoutError) as error:
        raise StartError(f"redis.url: Redis or Valkey does not answer ({in_short(error)})") from error


def in_short(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".split("\n", 1)[0].rstrip(": ")
