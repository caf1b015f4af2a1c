"""Writes a population into Postgres and Redis, through the same triggers as anybody's rows."""

import asyncio

import asyncpg
from redis.asyncio import Redis

from accounts.key_format import cache_id
from benchmarks.population import (
    KEY_COLUMNS,
    KEYS_PER_WALLET,
    WALLET_COLUMNS,
    first_key,
    id_of,
    key_of,
    key_rows,
    wallet_rows,
)
from proxy.keys.cache import Identity, KeyCache
from tests.support.program import PEPPER

_WALLETS_AT_ONCE = 50_000 // KEYS_PER_WALLET
_QUERY_TIMEOUT_S = 600
_REDIS_CALLS_AT_ONCE = 50


async def populate(database: str, wallets: int) -> bool:
    """False: it had been done. Before the ledger process starts: that one hears of every row."""
    connection = await asyncpg.connect(database, command_timeout=_QUERY_TIMEOUT_S)
    try:
        if await connection.fetchval("SELECT true FROM ai_wallets WHERE id = $1", id_of("wallet", wallets - 1)):
            return False
        for start in range(0, wallets, _WALLETS_AT_ONCE):
            some = range(start, min(wallets, start + _WALLETS_AT_ONCE))
            async with connection.transaction():
                for table, columns, rows in (
                    ("ai_wallets", WALLET_COLUMNS, wallet_rows(some)),
                    ("ai_api_keys", KEY_COLUMNS, key_rows(some)),
                ):
                    await connection.copy_records_to_table(table, columns=columns, records=rows)
        await connection.execute("ANALYZE ai_wallets, ai_api_keys")
        return True
    finally:
        await connection.close()


async def verify_beforehand(redis: Redis, wallets: int) -> None:
    """What the first use of each wallet's first key would have left behind, under the product's own names."""
    cache, turns = KeyCache(redis), iter(range(wallets))

    async def some() -> None:
        for wallet in turns:
            number = first_key(wallet)
            who = Identity(id_of("key", number), id_of("user", wallet), id_of("wallet", wallet))
            await cache.keep(cache_id(key_of(number), PEPPER.encode()), who)

    await asyncio.gather(*(some() for _ in range(_REDIS_CALLS_AT_ONCE)))
