"""A population is the same each time, and looks like what the product makes."""

from accounts.key_format import KeyFormat, hash_key, lookup_prefix, matches_hash
from benchmarks.population import (
    KEY_COLUMNS,
    KEYS_PER_WALLET,
    WALLET_COLUMNS,
    active_keys,
    first_key,
    id_of,
    key_of,
    key_rows,
    wallet_rows,
)

SOME = range(3, 6)


def test_keys_are_of_the_products_format_and_no_two_are_alike() -> None:
    keys = [key_of(number) for number in range(1_000)]
    assert all(map(KeyFormat().matches, keys))
    assert len(set(map(lookup_prefix, keys))) == len(keys)
    assert keys[7] == key_of(7)


def test_each_wallet_has_a_key_that_is_used() -> None:
    keys = active_keys(4)
    assert keys == [key_of(number) for number in (0, KEYS_PER_WALLET, 2 * KEYS_PER_WALLET, 3 * KEYS_PER_WALLET)]
    prefixes = [row[2] for row in key_rows(range(4))]
    assert [prefixes[first_key(wallet)] for wallet in range(4)] == [*map(lookup_prefix, keys)]


def test_keys_belong_to_the_users_of_the_wallets() -> None:
    wallets, keys = wallet_rows(SOME), [*key_rows(SOME)]
    assert all(len(row) == len(WALLET_COLUMNS) for row in wallets)
    assert all(len(row) == len(KEY_COLUMNS) for row in keys)
    owners = [row[1] for row in wallets]
    assert [row[1] for row in keys] == [owner for owner in owners for _ in range(KEYS_PER_WALLET)]


def test_ids_are_of_their_kind_and_number() -> None:
    ids = [id_of(kind, number) for kind in ("wallet", "user", "key") for number in range(100)]
    assert len(set(ids)) == len(ids)
    assert id_of("wallet", 7) == id_of("wallet", 7)


def test_nobodys_hash_is_no_keys() -> None:
    (stored,) = {row[3] for row in key_rows(SOME)}
    assert not any(matches_hash(key_of(number), stored) for number in range(first_key(3), first_key(4)))
    assert matches_hash("a key", hash_key("a key", 4)), "or the line above would say nothing"
