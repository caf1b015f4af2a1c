"""Users by the hundred thousand, as rows: one wallet each, and keys whose text is known without a list of them.

The rows go through the same triggers as anybody's. No key's hash is its own, for bcrypt would take an hour; who the
active keys belong to is written into the cache of verified keys, under the product's own names.
"""

import base64
import hashlib
from collections.abc import Iterator
from decimal import Decimal
from uuid import UUID

import asyncpg
from redis.asyncio import Redis

from accounts.key_format import cache_id, hash_key, lookup_prefix
from proxy.key_cache import Identity, KeyCache
from tests.support.program import PEPPER

KEYS_PER_WALLET = 10
BALANCE = Decimal(100)
_LIMIT = 100_000_000
_ROWS_PER_COPY = 50_000


def key_of(number: int) -> str:
    digest = hashlib.sha256(b"key %d" % number).digest()
    return "pp_live-" + base64.urlsafe_b64encode(digest[:24]).decode()


def _id(kind: str, number: int) -> UUID:
    return UUID(bytes=hashlib.md5(f"{kind} {number}".encode(), usedforsecurity=False).digest(), version=4)


async def populate(database: str, wallets: int) -> None:
    """`wallets` users with `KEYS_PER_WALLET` keys each. Before the ledger process starts: it hears of every row."""
    connection = await asyncpg.connect(database, command_timeout=600)
    try:
        for start in range(0, wallets, _ROWS_PER_COPY // KEYS_PER_WALLET):
            some = range(start, min(wallets, start + _ROWS_PER_COPY // KEYS_PER_WALLET))
            async with connection.transaction():
                rows = [(_id("wallet", each), _id("user", each), BALANCE) for each in some]
                await connection.copy_records_to_table("ai_wallets", records=rows, columns=["id", "user_id", "balance"])
                await connection.copy_records_to_table("ai_api_keys", records=_keys(some), columns=_COLUMNS)
        await connection.execute("ANALYZE ai_wallets, ai_api_keys")
    finally:
        await connection.close()


_COLUMNS = ["id", "user_id", "key_prefix", "key_hash", "name", "rate_limit_per_minute", "rate_limit_per_day"]
_NOBODYS_HASH = hash_key("nobody's key", 4)


def _keys(wallets: range) -> Iterator[tuple[UUID, UUID, str, str, str, int, int]]:
    for wallet in wallets:
        for number in range(wallet * KEYS_PER_WALLET, (wallet + 1) * KEYS_PER_WALLET):
            prefix = lookup_prefix(key_of(number))
            yield _id("key", number), _id("user", wallet), prefix, _NOBODYS_HASH, "of a benchmark", _LIMIT, _LIMIT


def active_keys(wallets: int) -> list[str]:
    """The first key of each wallet."""
    return [key_of(wallet * KEYS_PER_WALLET) for wallet in range(wallets)]


async def verify_beforehand(redis: Redis, wallets: int) -> None:
    """What a first use would have left behind, for the first key of each wallet."""
    cache = KeyCache(redis)
    for wallet in range(wallets):
        number = wallet * KEYS_PER_WALLET
        who = Identity(_id("key", number), _id("user", wallet), _id("wallet", wallet))
        await cache.keep(cache_id(key_of(number), PEPPER.encode()), who)
