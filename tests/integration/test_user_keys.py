"""A user's own keys: changed, rotated, bounded in number, also when much happens at once; and nobody else's."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
from redis.exceptions import RedisError

from accounts import key_changes
from accounts.as_user import as_user
from accounts.errors import (
    KeyExpired,
    KeyFrozen,
    KeyNotFound,
    KeyNotInForce,
    KeyReplaced,
    KeyRevoked,
    TooManyKeys,
)
from accounts.key_lists import networks
from accounts.keys import ApiKey, NewKey
from accounts.user_keys import UserKeys
from ledger.balances import StateMirror
from ledger.redis_store import RedisStore
from runtime.settings import KeyPolicy
from tests.support.accounts import BCRYPT_COST, Office, accounts_office
from tests.support.ledger import until

MOST = 3
END = datetime(2099, 1, 2, 3, 4, 5, tzinfo=UTC)
EVERYTHING: dict[str, Any] = {
    "requests_per_minute": 5,
    "requests_per_day": 50,
    "expires_at": END,
    "allowed_models": ("a", "b-*"),
    "allowed_routes": ("/v1/chat/completions",),
    "allowed_ips": networks(["10.0.0.0/8", "2001:db8::/32", "192.0.2.1"]),
    "tokens_per_minute": 900,
    "max_concurrent_requests": 2,
    "budget_daily_nanos": 1,
    "budget_monthly_nanos": 2_500_000_000,
    "budget_total_nanos": 9_000_000 * 10**9,
}


@dataclass(frozen=True)
class Desk:
    """Where one user looks after keys, and the office behind it."""

    office: Office
    keys: UserKeys
    user_id: UUID

    async def new(self, name: str = "x", **settings: Any) -> ApiKey:
        return (await self.keys.create(NewKey(self.user_id, name, **settings)))[1]

    async def one(self, key_id: UUID) -> ApiKey:
        (found,) = [key for key in await self.keys.of_user(self.user_id) if key.id == key_id]
        return found

    async def sql(self, statement: str, *arguments: Any) -> None:
        await self.office.store.pool.execute(statement, *arguments)


@pytest.fixture
async def desk(database_url: str, redis_url: str) -> AsyncIterator[Desk]:
    async with accounts_office(database_url, redis_url) as office:
        mirror = StateMirror(RedisStore(office.redis), office.store, database_url)
        policy = KeyPolicy(bcrypt_cost=BCRYPT_COST, max_keys_per_user=MOST)
        yield Desk(office, UserKeys(office.store, mirror, policy), uuid4())


async def test_a_key_is_kept_as_it_was_asked_for(desk: Desk) -> None:
    made = await desk.new("full", **EVERYTHING)
    for name, value in EVERYTHING.items():
        column = {"requests_per_minute": "rate_limit_per_minute", "requests_per_day": "rate_limit_per_day"}.get(name)
        assert getattr(made, column or name) == value, name
    assert await desk.keys.of_user(desk.user_id) == [made]


async def test_what_is_said_is_changed_and_nothing_else(desk: Desk) -> None:
    made = await desk.new("full", **EVERYTHING)
    named = await desk.keys.change(desk.user_id, made.id, {"name": "other"})
    assert named == replace(made, name="other")
    freed = await desk.keys.change(desk.user_id, made.id, {"allowed_ips": None, "budget_daily_nanos": None})
    assert freed == replace(named, allowed_ips=None, budget_daily_nanos=None) == await desk.one(made.id)


async def test_a_change_is_felt_before_anybody_is_told(desk: Desk) -> None:
    made = await desk.new()
    await desk.keys.change(desk.user_id, made.id, {"requests_per_minute": 7})
    assert await desk.office.redis.hget(f"fb:{{0}}:key:{made.id}", "rpm") == b"7"


async def test_changes_at_once_are_all_kept(desk: Desk) -> None:
    made = await desk.new()
    asked: list[dict[str, Any]] = [{name: value} for name, value in EVERYTHING.items()]
    await asyncio.gather(*(desk.keys.change(desk.user_id, made.id, one) for one in asked))
    after = await desk.one(made.id)
    assert (after.allowed_models, after.allowed_ips) == (EVERYTHING["allowed_models"], EVERYTHING["allowed_ips"])
    assert (after.rate_limit_per_minute, after.budget_total_nanos, after.expires_at) == (5, 9_000_000 * 10**9, END)


async def test_a_rotated_key_is_like_the_old_one_which_ends(desk: Desk) -> None:
    made = await desk.new("full", **EVERYTHING)
    rotated = await desk.keys.rotate(desk.user_id, made.id, 600)
    old = await desk.one(made.id)
    assert rotated.key.startswith(rotated.row.key_prefix) and rotated.row.id != made.id
    same: dict[str, Any] = {
        "id": made.id,
        "key_prefix": made.key_prefix,
        "created_at": made.created_at,
        "rotated_from": None,
    }
    assert replace(rotated.row, **same) == made
    assert rotated.row.rotated_from == made.id
    assert (old.expires_at, old.is_active, old.is_replaced) == (rotated.old_ends_at, True, True)
    now = await desk.office.store.pool.fetchval("SELECT now()")
    assert now < rotated.old_ends_at <= now + timedelta(seconds=600)
    expires_ms = await desk.office.redis.hget(f"fb:{{0}}:key:{made.id}", "expires_ms")
    assert int(expires_ms or 0) == int(rotated.old_ends_at.timestamp() * 1000)


async def test_an_old_key_never_lives_longer_than_it_would_have(desk: Desk) -> None:
    now: datetime = await desk.office.store.pool.fetchval("SELECT now()")
    made = await desk.new(expires_at=now + timedelta(seconds=300))
    rotated = await desk.keys.rotate(desk.user_id, made.id, 600)
    assert rotated.old_ends_at == made.expires_at == rotated.row.expires_at


async def test_without_grace_the_old_key_is_revoked(desk: Desk) -> None:
    made = await desk.new()
    rotated = await desk.keys.rotate(desk.user_id, made.id, 0)
    assert not (await desk.one(made.id)).is_active and rotated.row.is_active
    assert await desk.office.redis.hget(f"fb:{{0}}:key:{made.id}", "active") == b"0"
    assert await desk.office.store.pool.fetchval("SELECT count(*) FROM farebox_events WHERE kind = 'key.revoked'") == 1


END_IT: list[tuple[str, type[KeyNotInForce]]] = [
    ("is_active = false", KeyRevoked),
    ("expires_at = now() - interval '1 second'", KeyExpired),
    ("expires_at = '-infinity'", KeyExpired),
    ("is_frozen = true", KeyFrozen),
]


@pytest.mark.parametrize(("how", "error"), END_IT)
async def test_what_is_not_in_force_is_neither_rotated_nor_brought_back(
    desk: Desk, how: str, error: type[KeyNotInForce]
) -> None:
    made = await desk.new()
    await desk.sql(f"UPDATE ai_api_keys SET {how} WHERE id = $1", made.id)
    before = await desk.one(made.id)
    with pytest.raises(error):
        await desk.keys.rotate(desk.user_id, made.id, 60)
    for changes in ({"expires_at": END}, {"expires_at": None}, {"name": "y"}):
        with pytest.raises(error):
            await desk.keys.change(desk.user_id, made.id, changes)
    assert await desk.keys.of_user(desk.user_id) == [before]
    assert await desk.keys.revoke(desk.user_id, made.id), "what is frozen or expired may still be revoked"
    assert (await desk.one(made.id)).is_frozen == before.is_frozen


async def test_a_key_that_was_replaced_only_waits_for_its_end(desk: Desk) -> None:
    made = await desk.new()
    rotated = await desk.keys.rotate(desk.user_id, made.id, 60)
    with pytest.raises(KeyReplaced):
        await desk.keys.rotate(desk.user_id, made.id, 600)
    with pytest.raises(KeyReplaced):
        await desk.keys.change(desk.user_id, made.id, {"expires_at": None})
    assert (await desk.one(made.id)).expires_at == rotated.old_ends_at
    again = await desk.keys.rotate(desk.user_id, rotated.row.id, 60)
    assert again.row.rotated_from == rotated.row.id


async def test_keys_of_somebody_else_are_not_there(desk: Desk) -> None:
    made = await desk.new("hers", **EVERYTHING)
    before = await desk.one(made.id)
    for key_id in (made.id, uuid4()):
        with pytest.raises(KeyNotFound):
            await desk.keys.change(uuid4(), key_id, {"name": "mine"})
        with pytest.raises(KeyNotFound):
            await desk.keys.rotate(uuid4(), key_id, 0)
        assert not await desk.keys.revoke(uuid4(), key_id)
    assert await desk.keys.of_user(desk.user_id) == [before]
    assert await desk.office.redis.keys("*key*") == [], "an id that is not the caller's reaches no other place"


async def test_the_role_itself_may_not_unfreeze_or_change_a_hash(desk: Desk) -> None:
    made = await desk.new()
    for statement in ("UPDATE ai_api_keys SET is_frozen = false", "UPDATE ai_api_keys SET key_hash = 'x'"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            async with as_user(desk.office.store.pool, desk.user_id) as connection:
                await connection.execute(statement)
    # the owner's query, as another user: no row is theirs
    async with as_user(desk.office.store.pool, uuid4()) as connection:
        with pytest.raises(KeyNotFound):
            await key_changes.change(connection, made.id, {"name": "y"})


async def succeeded(*work: Awaitable[Any]) -> tuple[list[Any], list[BaseException]]:
    """What came of it, all at once: results and errors."""
    ended = await asyncio.gather(*work, return_exceptions=True)
    return (
        [result for result in ended if not isinstance(result, BaseException)],
        [result for result in ended if isinstance(result, BaseException)],
    )


@pytest.mark.parametrize("grace_s", [0, 60])
async def test_of_many_who_rotate_one_key_at_once_one_does(desk: Desk, grace_s: int) -> None:
    made = await desk.new()
    done, refused = await succeeded(*(desk.keys.rotate(desk.user_id, made.id, grace_s) for _ in range(6)))
    assert len(done) == 1
    assert {type(error) for error in refused} == {KeyReplaced if grace_s else KeyRevoked}
    assert [key.rotated_from for key in await desk.keys.of_user(desk.user_id)] == [made.id, None]


async def test_a_key_that_is_rotated_while_it_is_revoked_does_not_live_on(desk: Desk) -> None:
    """Both wait for the key's row, held here, in either order."""
    for revoke_first in (True, False):
        made = await desk.new()
        revoke, rotate = desk.keys.revoke(desk.user_id, made.id), desk.keys.rotate(desk.user_id, made.id, 60)
        async with desk.office.store.pool.acquire() as holder, holder.transaction():
            await holder.execute("SELECT 1 FROM ai_api_keys WHERE id = $1 FOR UPDATE", made.id)
            tasks = []
            for waiting, work in enumerate([revoke, rotate] if revoke_first else [rotate, revoke], 1):
                tasks.append(asyncio.get_running_loop().create_task(succeeded(work)))
                await until(lambda waiting=waiting: _waits(desk, waiting))  # type: ignore[misc]
        outcomes = [await task for task in tasks]
        old = await desk.one(made.id)
        assert not old.is_active
        done = [result for results, _ in outcomes for result in results]
        errors = [error for _, failed in outcomes for error in failed]
        assert True in done, "the revocation is never refused"
        assert len(done) == 2 or [type(error) for error in errors] == [KeyRevoked]
        replaced = [key for key in await desk.keys.of_user(desk.user_id) if key.rotated_from == made.id]
        assert len(replaced) == len(done) - 1, "a new key is made only if it was handed over"
        for key in replaced:
            await desk.keys.revoke(desk.user_id, key.id)


async def _waits(desk: Desk, count: int) -> bool:
    asked = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    return bool(await desk.office.store.pool.fetchval(asked) >= count)


async def test_keys_are_bounded_in_number_however_many_ask_at_once(desk: Desk) -> None:
    done, refused = await succeeded(*(desk.new(str(n)) for n in range(8)))
    assert len(done) == MOST and {type(error) for error in refused} == {TooManyKeys}
    assert len(await desk.keys.of_user(desk.user_id)) == MOST
    other = replace(desk, user_id=uuid4())
    await other.new()
    await desk.keys.revoke(desk.user_id, done[0].id)
    await desk.sql("UPDATE ai_api_keys SET expires_at = now() WHERE id = $1", done[1].id)
    await desk.new()
    await desk.new()
    with pytest.raises(TooManyKeys, match=rf"^a user may have {MOST} keys"):
        await desk.new()


async def test_all_keys_may_be_rotated_at_once_but_not_again_and_again(desk: Desk) -> None:
    made = [await desk.new(str(n)) for n in range(MOST)]
    rotated = await asyncio.gather(*(desk.keys.rotate(desk.user_id, key.id, 600) for key in made))
    with pytest.raises(TooManyKeys, match="grace period"):
        await desk.keys.rotate(desk.user_id, rotated[0].row.id, 600)
    with pytest.raises(TooManyKeys):
        await desk.new()
    await desk.keys.rotate(desk.user_id, rotated[0].row.id, 0)
    await desk.keys.revoke(desk.user_id, made[1].id)
    await desk.keys.rotate(desk.user_id, rotated[1].row.id, 600)


class Away:
    """A Redis that is away."""

    async def push_keys(self, ids: Sequence[UUID]) -> None:
        raise RedisError("away")


async def test_nothing_is_rotated_that_could_not_be_told(desk: Desk) -> None:
    made = await desk.new()
    keys = UserKeys(desk.office.store, Away(), KeyPolicy(bcrypt_cost=BCRYPT_COST))
    with pytest.raises(RedisError):
        await keys.rotate(desk.user_id, made.id, 60)
    assert await desk.keys.of_user(desk.user_id) == [made]


async def test_of_what_is_over_only_the_latest_are_listed(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_changes, "LISTED", 2)
    first = await desk.new("in force")
    for name in "abc":
        await desk.keys.revoke(desk.user_id, (await desk.new(name)).id)
    assert [key.name for key in await desk.keys.of_user(desk.user_id)] == ["c", "b", "in force"]
    assert (await desk.one(first.id)).is_active


async def test_names_are_never_sql(desk: Desk) -> None:
    names = ["'; DROP TABLE ai_api_keys; --", "$1", "{a,b}", 'a"b', "NULL"]
    made = await desk.new(names[0], allowed_models=tuple(names))
    assert (made.name, made.allowed_models) == (names[0], tuple(names))
    (state,) = await desk.office.store.key_states([made.id])
    assert state.key_id == made.id
