"""Users by the hundred thousand, one wallet each: how they are called, and their rows. Nothing of it is kept in a list.

`populate` writes them.
"""

import hashlib
from collections.abc import Iterator
from decimal import Decimal
from uuid import UUID

from accounts.key_format import KeyFormat, hash_key, lookup_prefix

KEYS_PER_WALLET = 10
BALANCE = Decimal(100)
WALLET_COLUMNS = ("id", "user_id", "balance")
KEY_COLUMNS = ("id", "user_id", "key_prefix", "key_hash", "name", "rate_limit_per_minute", "rate_limit_per_day")
_LIMIT = 100_000_000
# No key's hash is its own: bcrypt would take hours.
_NOBODYS_HASH = hash_key("nobody's key", 4)


def key_of(number: int) -> str:
    return KeyFormat().mint(hashlib.sha256(b"key %d" % number).digest()[:24])


def id_of(kind: str, number: int) -> UUID:
    return UUID(bytes=hashlib.md5(f"{kind} {number}".encode(), usedforsecurity=False).digest(), version=4)


def first_key(wallet: int) -> int:
    """Its number: the one that is used of each wallet."""
    return wallet * KEYS_PER_WALLET


def active_keys(wallets: int) -> list[str]:
    return [key_of(first_key(wallet)) for wallet in range(wallets)]


def wallet_rows(wallets: range) -> list[tuple[UUID, UUID, Decimal]]:
    return [(id_of("wallet", wallet), id_of("user", wallet), BALANCE) for wallet in wallets]


def key_rows(wallets: range) -> Iterator[tuple[UUID, UUID, str, str, str, int, int]]:
    for wallet in wallets:
        for number in range(first_key(wallet), first_key(wallet + 1)):
            prefix = lookup_prefix(key_of(number))
            yield id_of("key", number), id_of("user", wallet), prefix, _NOBODYS_HASH, "of a benchmark", _LIMIT, _LIMIT
