"""What a key looks like, and what may be kept of it."""

import base64
import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accounts.key_format import (
    KEY_CHARS,
    PREFIX_CHARS,
    KeyFormat,
    cache_id,
    hash_key,
    lookup_prefix,
    matches_hash,
    memory_id,
)

LOWEST_COST = 4
FORMAT = KeyFormat()
RANDOM = st.binary(min_size=24, max_size=24)


@given(RANDOM)
def test_a_key_is_forty_characters_of_which_24_bytes_are_random(random: bytes) -> None:
    key = FORMAT.mint(random)
    assert len(key) == KEY_CHARS == 40 and key.startswith("pp_live-")
    assert base64.urlsafe_b64decode(key[8:]) == random
    assert FORMAT.matches(key)


def test_no_two_are_alike() -> None:
    assert len({FORMAT.mint() for _ in range(1000)}) == 1000


@given(RANDOM, st.integers(0, KEY_CHARS - 1), st.characters())
def test_one_character_that_is_none_of_ours_and_it_is_no_key(random: bytes, place: int, other: str) -> None:
    key = FORMAT.mint(random)
    changed = key[:place] + other + key[place + 1 :]
    allowed = other in string.ascii_letters + string.digits + "-_" if place >= 8 else other == key[place]
    assert FORMAT.matches(changed) is allowed


@pytest.mark.parametrize("change", [lambda key: key[:-1], lambda key: key + "a", lambda key: key + "\n", str.upper])
def test_almost_a_key(change: object) -> None:
    assert callable(change) and not FORMAT.matches(change(FORMAT.mint()))


def test_another_prefix() -> None:
    other = KeyFormat("sk.test-")
    assert other.matches(other.mint()) and not FORMAT.matches(other.mint()) and not other.matches(FORMAT.mint())
    assert not other.matches(other.mint().replace(".", "x")), "a prefix is no pattern"


def test_a_key_is_found_by_its_first_fifteen_characters() -> None:
    key = FORMAT.mint()
    assert lookup_prefix(key) == key[:15] and PREFIX_CHARS == 15


@given(RANDOM, RANDOM)
def test_the_name_in_a_cache_is_of_the_whole_key_and_of_the_pepper(one: bytes, other: bytes) -> None:
    key, name = FORMAT.mint(one), cache_id(FORMAT.mint(one), b"pepper")
    assert len(name) == 64 and name == cache_id(key, b"pepper")
    assert name != cache_id(key, b"salt")
    assert (name == cache_id(FORMAT.mint(other), b"pepper")) == (one == other)
    assert key not in name and lookup_prefix(key) not in name


def test_two_keys_with_the_same_start_have_different_names() -> None:
    assert cache_id(FORMAT.mint(b"x" * 23 + b"a"), b"p") != cache_id(FORMAT.mint(b"x" * 23 + b"b"), b"p")


@settings(max_examples=10)
@given(RANDOM, RANDOM)
def test_a_hash_matches_its_own_key_only(one: bytes, other: bytes) -> None:
    key_hash = hash_key(FORMAT.mint(one), LOWEST_COST)
    assert matches_hash(FORMAT.mint(one), key_hash)
    assert matches_hash(FORMAT.mint(other), key_hash) == (one == other)


def test_the_last_character_counts() -> None:
    """bcrypt reads 72 bytes; a key must not reach that far."""
    key = FORMAT.mint()
    key_hash = hash_key(key, LOWEST_COST)
    assert not matches_hash(key[:-1] + ("A" if key[-1] != "A" else "B"), key_hash)


def test_a_hash_says_its_cost_and_is_salted() -> None:
    key = FORMAT.mint()
    one, other = hash_key(key, 4), hash_key(key, 5)
    assert one.startswith("$2b$04$") and other.startswith("$2b$05$")
    assert hash_key(key, 4) != one


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_what_is_no_hash_matches_nothing(text: str) -> None:
    assert not matches_hash(FORMAT.mint(), text)


@pytest.mark.parametrize("text", ["$2b$10$", "$2b$99$" + "a" * 53, "$2b$04$" + "é" * 53, "$2b$04$" + "a" * 20])
def test_what_is_almost_a_hash_matches_nothing(text: str) -> None:
    assert not matches_hash(FORMAT.mint(), text)


def test_a_hash_that_would_take_days_is_not_computed() -> None:
    key = FORMAT.mint()
    costly = hash_key(key, LOWEST_COST).replace("$2b$04$", "$2b$31$")
    assert not matches_hash(key, costly)


@given(RANDOM, RANDOM)
def test_in_memory_a_key_goes_by_all_of_it_and_by_the_secret(one: bytes, other: bytes) -> None:
    name = memory_id(FORMAT.mint(one), b"secret")
    assert len(name) == 32 and name != memory_id(FORMAT.mint(one), b"other")
    assert (name == memory_id(FORMAT.mint(other), b"secret")) == (one == other)
