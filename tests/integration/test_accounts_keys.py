"""Keys in a real Postgres: made once, kept as a hash, revoked everywhere."""

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from uuid import uuid4

import asyncpg
import pytest

from accounts.errors import KeyNotFound, KeyRevoked
from accounts.key_format import matches_hash
from accounts.keys import NewKey
from tests.support.accounts import Office, accounts_office


@pytest.fixture
async def office(database_url: str, redis_url: str) -> AsyncIterator[Office]:
    async with accounts_office(database_url, redis_url) as made:
        yield made


async def test_a_new_key_is_shown_once_and_kept_as_a_hash(office: Office) -> None:
    user_id = uuid4()
    key, row = await office.keys.create(NewKey(user_id, "first"))
    stored = await office.store.pool.fetchrow("SELECT * FROM ai_api_keys")
    assert stored is not None
    assert key not in str(dict(stored)), "the whole key is nowhere"
    assert matches_hash(key, stored["key_hash"]) and stored["key_hash"].startswith("$2b$04$")
    assert (stored["id"], stored["user_id"], stored["key_prefix"]) == (row.id, user_id, key[:15])


async def test_its_limits_are_those_of_the_contract_unless_chosen(office: Office) -> None:
    user_id = uuid4()
    expires = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)
    _, plain = await office.keys.create(NewKey(user_id, "plain"))
    _, chosen = await office.keys.create(NewKey(user_id, "chosen", 5, 50, expires))
    assert (plain.rate_limit_per_minute, plain.rate_limit_per_day, plain.expires_at) == (60, 1000, None)
    assert (chosen.rate_limit_per_minute, chosen.rate_limit_per_day, chosen.expires_at) == (5, 50, expires)
    assert plain.is_active and plain.last_used_at is None


async def test_the_first_key_of_a_user_makes_the_wallet_and_the_second_does_not(office: Office) -> None:
    user_id = uuid4()
    await office.keys.create(NewKey(user_id, "one"))
    await office.keys.create(NewKey(user_id, "two"))
    assert await office.store.pool.fetchval("SELECT count(*) FROM ai_wallets") == 1
    assert (await office.store.ensure_wallet(user_id)).balance_nanos == 0


async def test_a_users_own_keys_newest_first(office: Office) -> None:
    user_id = uuid4()
    made = [(await office.keys.create(NewKey(user_id, name)))[1] for name in ("one", "two", "three")]
    await office.keys.create(NewKey(uuid4(), "somebody else's"))
    assert await office.keys.of_user(user_id) == made[::-1]
    assert await office.keys.of_user(uuid4()) == []


async def test_a_revoked_key_is_known_as_such_before_anybody_is_told(office: Office) -> None:
    _, row = await office.keys.create(NewKey(uuid4(), "one"))
    assert await office.key_in_redis(row.id) == {}, "nobody has asked for it yet"
    assert await office.keys.revoke(row.id)
    assert (await office.key_in_redis(row.id))["active"] == 0
    (listed,) = await office.store.key_states([row.id])
    assert not listed.is_active


async def test_revoking_leaves_the_other_keys_alone(office: Office) -> None:
    user_id = uuid4()
    _, one = await office.keys.create(NewKey(user_id, "one"))
    _, two = await office.keys.create(NewKey(user_id, "two"))
    await office.keys.revoke(one.id)
    assert {key.id: key.is_active for key in await office.keys.of_user(user_id)} == {one.id: False, two.id: True}


async def test_revoking_twice_is_no_mistake(office: Office) -> None:
    _, row = await office.keys.create(NewKey(uuid4(), "one"))
    assert [await office.keys.revoke(row.id) for _ in range(2)] == [True, True]


async def test_there_is_no_such_key(office: Office) -> None:
    assert not await office.keys.revoke(uuid4())


async def test_a_limit_that_cannot_be_is_refused_by_the_database(office: Office) -> None:
    with pytest.raises(asyncpg.CheckViolationError):
        await office.keys.create(NewKey(uuid4(), "one", requests_per_minute=-1))


async def test_an_operator_is_not_bound_by_what_users_may_ask_for_and_leaves_a_line(office: Office) -> None:
    user_id = uuid4()
    _, made = await office.keys.create(NewKey(user_id, "one", 10**8), by="cli:ada", reason="asked for")
    changed = await office.keys.change(
        made.id, {"allowed_models": ("a",), "budget_daily_nanos": 1_500_000_000}, by="cli:ada", reason="too much"
    )
    assert (changed.allowed_models, changed.rate_limit_per_minute) == (("a",), 10**8)
    rotated = await office.keys.rotate(made.id, 10**7, by="cli:ada", reason="lost")
    log = await office.store.pool.fetch("SELECT * FROM farebox_admin_log ORDER BY id")
    assert [(row["actor"], row["action"], row["user_id"], row["reason"]) for row in log] == [
        ("cli:ada", "key.create", user_id, "asked for"),
        ("cli:ada", "key.update", user_id, "too much"),
        ("cli:ada", "key.rotate", user_id, "lost"),
    ]
    assert {row["target_id"] for row in log} == {str(made.id)}
    assert json.loads(log[1]["after"]) == {"allowed_models": "a", "budget_daily": "1.5"}
    assert json.loads(log[2]["after"])["new"] == str(rotated.row.id)
    assert rotated.key not in str([dict(row) for row in log])


async def test_a_refused_change_leaves_no_line(office: Office) -> None:
    _, made = await office.keys.create(NewKey(uuid4(), "one"))
    await office.keys.revoke(made.id)
    for work in (
        office.keys.change(made.id, {"name": "x"}, by="cli:ada"),
        office.keys.rotate(made.id, 5, by="cli:ada"),
    ):
        with pytest.raises(KeyRevoked):
            await work
    with pytest.raises(KeyNotFound):
        await office.keys.change(uuid4(), {"name": "x"}, by="cli:ada")
    assert await office.store.pool.fetchval("SELECT count(*) FROM farebox_admin_log") == 0
