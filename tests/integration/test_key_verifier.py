"""The key verifier over real servers: what is left in Redis, and that it says who, never whether."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import uuid4

import pytest

from accounts.key_format import KeyFormat
from accounts.keys import NewKey
from proxy.failures import Failure
from proxy.keys.verifier import KeyVerifier
from tests.support.accounts import Office, accounts_office

PEPPER = b"pepper" * 8


@pytest.fixture
async def office(database_url: str, redis_url: str) -> AsyncIterator[Office]:
    async with accounts_office(database_url, redis_url) as made:
        yield made


@asynccontextmanager
async def verifier(office: Office, pepper: bytes = PEPPER, *, needs_cache: bool = True) -> AsyncIterator[KeyVerifier]:
    made = KeyVerifier(office.redis, office.store, KeyFormat(), pepper, needs_cache=needs_cache)
    try:
        yield made
    finally:
        await made.close()


async def everything_in_redis(office: Office) -> bytes:
    found = b""
    async for name in office.redis.scan_iter():
        found += name + b"\n" + (await office.redis.get(name) or b"") + b"\n"
    return found


async def test_a_key_of_the_database_is_known(office: Office) -> None:
    user_id = uuid4()
    key, row = await office.keys.create(NewKey(user_id, "one"))
    wallet = await office.store.ensure_wallet(user_id)
    async with verifier(office) as first, verifier(office) as second:
        for each in (first, second):
            who = await each.verify(key)
            assert (who.key_id, who.user_id, who.wallet_id) == (row.id, user_id, wallet.wallet_id)


async def test_redis_keeps_no_key_no_part_of_one_and_no_hash_and_forgets(office: Office) -> None:
    key, row = await office.keys.create(NewKey(uuid4(), "one"))
    async with verifier(office) as each:
        await each.verify(key)
    (name,) = await office.redis.keys("*")
    kept = await everything_in_redis(office)
    key_hash = await office.store.pool.fetchval("SELECT key_hash FROM ai_api_keys")
    assert str(row.id).encode() in kept
    for secret in (key, key[:15], key[8:], key_hash):
        assert secret.encode() not in kept
    assert 0 < await office.redis.ttl(name) <= 3600


@pytest.mark.parametrize("needs_cache", [True, False])
async def test_a_key_in_use_is_not_forgotten(office: Office, needs_cache: bool) -> None:
    key, _ = await office.keys.create(NewKey(uuid4(), "one"))
    async with verifier(office) as first, verifier(office, needs_cache=needs_cache) as second:
        await first.verify(key)
        (name,) = await office.redis.keys("*")
        await office.redis.expire(name, 60)
        await second.verify(key)
    assert await office.redis.ttl(name) > 3000


async def test_another_pepper_is_another_cache(office: Office) -> None:
    key, _ = await office.keys.create(NewKey(uuid4(), "one"))
    async with verifier(office) as one, verifier(office, b"salt" * 8) as other:
        assert await one.verify(key) == await other.verify(key)
    assert len(await office.redis.keys("*")) == 2


async def test_a_wrong_key_leaves_nothing(office: Office) -> None:
    key, _ = await office.keys.create(NewKey(uuid4(), "one"))
    wrong = key[:-1] + ("A" if key[-1] != "A" else "B")
    async with verifier(office) as each:
        for presented in (wrong, KeyFormat().mint()):
            with pytest.raises(Failure, match="invalid_api_key"):
                await each.verify(presented)
    assert await everything_in_redis(office) == b""


async def test_a_revoked_key_is_still_somebodys(office: Office) -> None:
    """Whether it is good is asked at admission, each time; see tests/acceptance."""
    key, row = await office.keys.create(NewKey(uuid4(), "one"))
    await office.keys.revoke(row.id)
    async with verifier(office) as each:
        assert (await each.verify(key)).key_id == row.id


async def test_each_key_is_its_own_owners(office: Office) -> None:
    made = [await office.keys.create(NewKey(uuid4(), str(number))) for number in range(20)]
    async with verifier(office) as each:
        found = [await each.verify(key) for key, _ in made]
    assert [who.key_id for who in found] == [row.id for _, row in made]
