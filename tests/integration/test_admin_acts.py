"""What administrators do to wallets and keys, in a real Postgres and Valkey: done and logged together, or neither."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from accounts.admin_log import AdminLog
from accounts.errors import AccountsError, InvalidRequest, KeyNotFound, OverdraftInUse, RefundTooLarge, RequestNotFound
from accounts.key_acts import KeyActs
from ledger.audit import audit
from ledger.balances import StateMirror
from ledger.entries import WalletState
from ledger.errors import InvalidAmount, LedgerError, WalletNotFound
from ledger.money import MAX_NANOS
from ledger.redis_store import RedisStore
from tests.support.accounts import Office, accounts_office
from tests.support.ledger import USD, funded_wallet, settled

BOSS = "00000000-0000-4000-8000-00000000b055"
WHY = "because"


@pytest.fixture
async def office(database_url: str, redis_url: str) -> AsyncIterator[Office]:
    async with accounts_office(database_url, redis_url) as made:
        yield made
        assert (await audit(made.store.pool)).holds


@pytest.fixture
def keys(office: Office, database_url: str) -> KeyActs:
    mirror = StateMirror(RedisStore(office.redis), office.store, database_url)
    return KeyActs(office.store.pool, mirror)


async def new_key(office: Office, user_id: UUID) -> UUID:
    found: UUID = await office.store.pool.fetchval(
        "INSERT INTO ai_api_keys (user_id, key_prefix, key_hash, name) VALUES ($1, 'pp_live-xxxxxxx', '-', 'x') "
        "RETURNING id",
        user_id,
    )
    return found


async def logged(office: Office) -> list[tuple[str, Any, Any]]:
    """What was done, oldest first; each by the boss, and because."""
    acts = [row.act for row in (await AdminLog(office.store.pool).page()).rows][::-1]
    assert all((act.actor, act.reason) == (BOSS, WHY) for act in acts)
    return [(act.action, act.before, act.after) for act in acts]


async def balance(office: Office, wallet: WalletState) -> int:
    (state,) = await office.store.wallet_states([wallet.wallet_id])
    return state.balance_nanos


async def used(office: Office, wallet: WalletState, nanos: int, **changes: Any) -> UUID:
    """A request of this wallet that was debited so much."""
    entry = settled(wallet, nanos, **changes)
    await office.store.post([entry])
    return entry.entry.request_id


async def test_every_credit_is_logged_with_what_it_changed(office: Office) -> None:
    user_id = uuid4()
    wallet = await office.wallets.give_bonus(user_id, 3 * USD // 2, WHY, BOSS)
    await office.wallets.set_balance(user_id, USD, WHY, BOSS)
    await office.wallets.refund(user_id, 1, WHY, BOSS)
    lines = await office.store.pool.fetch("SELECT id, type FROM ai_transactions ORDER BY seq")
    assert [line["type"] for line in lines] == ["bonus", "adjustment", "refund"]
    first, second, third = (str(line["id"]) for line in lines)
    assert await logged(office) == [
        ("credits.bonus", {"balance": "0"}, {"balance": "1.5", "transaction_id": first}),
        ("credits.set", {"balance": "1.5"}, {"balance": "1", "transaction_id": second}),
        ("credits.refund", {"balance": "1"}, {"balance": "1.000000001", "transaction_id": third}),
    ]
    (act, *_) = (await AdminLog(office.store.pool).page()).rows
    assert (act.act.target_kind, act.act.target_id, act.act.user_id) == ("wallet", str(wallet.wallet_id), user_id)


# Refunds


async def test_a_refund_is_felt_before_it_is_told(office: Office) -> None:
    wallet = await funded_wallet(office.store, 5)
    assert (await office.wallets.refund(wallet.user_id, 7, WHY, BOSS)).balance_nanos == 12
    assert (await office.wallet_in_redis(wallet.wallet_id))["balance"] == 12


async def test_a_request_is_given_back_in_parts_and_never_more_than_was_taken(office: Office) -> None:
    wallet = await funded_wallet(office.store, 100)
    request_id = await used(office, wallet, 60)
    refund = office.wallets.refund
    await refund(wallet.user_id, 40, WHY, BOSS, request_id)
    with pytest.raises(RefundTooLarge, match=r"0\.00000006 dollars .* 0\.00000002 can still"):
        await refund(wallet.user_id, 21, WHY, BOSS, request_id)
    await refund(wallet.user_id, 20, WHY, BOSS, request_id)
    with pytest.raises(RefundTooLarge):
        await refund(wallet.user_id, 1, WHY, BOSS, request_id)
    assert await balance(office, wallet) == 100
    assert [after["request_id"] for _, _, after in await logged(office)] == [str(request_id)] * 2
    metadata = await office.store.pool.fetchval("SELECT metadata FROM ai_transactions WHERE type = 'refund' LIMIT 1")
    assert str(request_id) in metadata and BOSS in metadata


async def test_what_was_not_collected_is_not_given_back(office: Office) -> None:
    wallet = await funded_wallet(office.store, 10)
    request_id = await used(office, wallet, 60)
    with pytest.raises(RefundTooLarge):
        await office.wallets.refund(wallet.user_id, 11, WHY, BOSS, request_id)
    await office.wallets.refund(wallet.user_id, 10, WHY, BOSS, request_id)
    free = await used(office, wallet, 0)
    with pytest.raises(RefundTooLarge):
        await office.wallets.refund(wallet.user_id, 1, WHY, BOSS, free)


async def test_refunds_of_one_request_at_once_do_not_add_up_to_more(office: Office) -> None:
    wallet = await funded_wallet(office.store, 100)
    request_id = await used(office, wallet, 60)
    attempts = [office.wallets.refund(wallet.user_id, 20, WHY, BOSS, request_id) for _ in range(10)]
    ended = await asyncio.gather(*attempts, return_exceptions=True)
    assert sum(isinstance(end, RefundTooLarge) for end in ended) == 7
    assert sum(isinstance(end, WalletState) for end in ended) == 3
    assert (await balance(office, wallet), len(await logged(office))) == (100, 3)


async def test_a_request_of_somebody_else_is_not_there(office: Office) -> None:
    ann, bob = await funded_wallet(office.store, 100), await funded_wallet(office.store, 100)
    request_id = await used(office, ann, 60)
    for nobodys in (request_id, uuid4(), UUID(int=0), UUID(int=2**128 - 1)):
        with pytest.raises(RequestNotFound):
            await office.wallets.refund(bob.user_id, 1, WHY, BOSS, nobodys)
    assert await balance(office, bob) == 100


# Freezing


async def test_a_wallet_is_frozen_and_let_go_and_redis_knows(office: Office) -> None:
    wallet = await funded_wallet(office.store, 5)
    assert await office.wallets.freeze(wallet.user_id, True, WHY, BOSS)
    assert (await office.wallet_in_redis(wallet.wallet_id))["frozen"] == 1
    assert await office.wallets.freeze(wallet.user_id, False, WHY, BOSS)
    assert (await office.wallet_in_redis(wallet.wallet_id)).get("frozen", 0) == 0
    assert await logged(office) == [
        ("wallet.freeze", {"frozen": False}, {"frozen": True}),
        ("wallet.unfreeze", {"frozen": True}, {"frozen": False}),
    ]


async def test_freezing_what_is_frozen_leaves_no_line(office: Office, keys: KeyActs) -> None:
    wallet = await funded_wallet(office.store, 5)
    key_id = await new_key(office, wallet.user_id)
    for frozen in (False, True, True):
        await office.wallets.freeze(wallet.user_id, frozen, WHY, BOSS)
        await keys.freeze(key_id, frozen, WHY, BOSS)
    for _ in range(2):
        await keys.revoke(key_id, WHY, BOSS)
    assert [action for action, _, _ in await logged(office)] == ["wallet.freeze", "key.freeze", "key.revoke"]


async def test_freezing_at_once_is_done_once(office: Office, keys: KeyActs) -> None:
    wallet = await funded_wallet(office.store, 5)
    key_id = await new_key(office, wallet.user_id)
    done = await asyncio.gather(*(office.wallets.freeze(wallet.user_id, True, WHY, BOSS) for _ in range(8)))
    assert sorted(done) == [False] * 7 + [True]
    done = await asyncio.gather(*(keys.revoke(key_id, WHY, BOSS) for _ in range(8)))
    assert sorted(done) == [False] * 7 + [True]
    assert len(await logged(office)) == 2


async def test_credits_still_come_into_a_frozen_wallet(office: Office) -> None:
    wallet = await funded_wallet(office.store, 5)
    await office.wallets.freeze(wallet.user_id, True, WHY, BOSS)
    assert (await office.wallets.give_bonus(wallet.user_id, 1, WHY, BOSS)).balance_nanos == 6
    await used(office, wallet, 2)
    assert await balance(office, wallet) == 4, "what was used before is debited all the same"


async def test_a_key_is_frozen_and_revoked_and_redis_knows(office: Office, keys: KeyActs) -> None:
    wallet = await funded_wallet(office.store, 5)
    key_id = await new_key(office, wallet.user_id)
    assert await keys.freeze(key_id, True, WHY, BOSS)
    row = await office.store.pool.fetchrow("SELECT is_frozen, is_active FROM ai_api_keys WHERE id = $1", key_id)
    assert row is not None and (row["is_frozen"], row["is_active"]) == (True, True)
    assert await keys.revoke(key_id, WHY, BOSS)
    assert (await office.redis.hget(f"fb:{{0}}:key:{key_id}", "active")) == b"0"
    assert await logged(office) == [
        ("key.freeze", {"frozen": False}, {"frozen": True}),
        ("key.revoke", {"active": True}, {"active": False}),
    ]


# Overdraft


async def test_an_overdraft_is_set_and_not_below_what_is_owed(office: Office) -> None:
    wallet = await funded_wallet(office.store, 5)
    done = await office.wallets.set_overdraft(wallet.user_id, 10, WHY, BOSS)
    assert (done.overdraft_nanos, (await office.wallet_in_redis(wallet.wallet_id))["overdraft"]) == (10, 10)
    await used(office, wallet, 12)
    with pytest.raises(OverdraftInUse):
        await office.wallets.set_overdraft(wallet.user_id, 6, WHY, BOSS)
    assert (await office.wallets.set_overdraft(wallet.user_id, 7, WHY, BOSS)).balance_nanos == -7
    await office.wallets.set_overdraft(wallet.user_id, 7, WHY, BOSS)
    assert await logged(office) == [
        ("wallet.overdraft", {"overdraft": "0"}, {"overdraft": "0.00000001"}),
        ("wallet.overdraft", {"overdraft": "0.00000001"}, {"overdraft": "0.000000007"}),
    ]


# Neither without the other

Attempt = Callable[[Office, KeyActs, UUID, UUID, str], Awaitable[object]]
ACTS: dict[str, Attempt] = {
    "bonus": lambda office, keys, user, key, why: office.wallets.give_bonus(user, 1, why, BOSS),
    "set": lambda office, keys, user, key, why: office.wallets.set_balance(user, 1, why, BOSS),
    "refund": lambda office, keys, user, key, why: office.wallets.refund(user, 1, why, BOSS),
    "freeze": lambda office, keys, user, key, why: office.wallets.freeze(user, True, why, BOSS),
    "overdraft": lambda office, keys, user, key, why: office.wallets.set_overdraft(user, 1, why, BOSS),
    "freeze key": lambda office, keys, user, key, why: keys.freeze(key, True, why, BOSS),
    "revoke key": lambda office, keys, user, key, why: keys.revoke(key, why, BOSS),
}
EVERYTHING = """
SELECT (SELECT json_agg(w) FROM ai_wallets w)::text, (SELECT json_agg(k) FROM ai_api_keys k)::text,
    (SELECT json_agg(t) FROM ai_transactions t)::text, (SELECT json_agg(l) FROM farebox_admin_log l)::text"""
FAILING = """
CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'the disk is full'; END $$;
CREATE TRIGGER fail BEFORE INSERT ON farebox_admin_log FOR EACH ROW EXECUTE FUNCTION fail()"""


@pytest.mark.parametrize("act", ACTS)
async def test_what_cannot_be_logged_is_not_done(office: Office, keys: KeyActs, act: str) -> None:
    wallet = await funded_wallet(office.store, 5)
    key_id = await new_key(office, wallet.user_id)
    before = await office.store.pool.fetchrow(EVERYTHING)
    with pytest.raises(InvalidRequest):
        await ACTS[act](office, keys, wallet.user_id, key_id, "x" * 501)
    await office.store.pool.execute(FAILING)
    with pytest.raises(asyncpg.RaiseError, match="the disk is full"):
        await ACTS[act](office, keys, wallet.user_id, key_id, WHY)
    assert await office.store.pool.fetchrow(EVERYTHING) == before
    await office.store.pool.execute("DROP TRIGGER fail ON farebox_admin_log")
    await ACTS[act](office, keys, wallet.user_id, key_id, WHY)
    assert await office.store.pool.fetchrow(EVERYTHING) != before, "it would have been something"


NOBODY = uuid4()
REFUSED: list[tuple[type[AccountsError | LedgerError], Attempt]] = [
    (InvalidAmount, lambda office, keys, user, key, why: office.wallets.give_bonus(user, MAX_NANOS, why, BOSS)),
    (InvalidAmount, lambda office, keys, user, key, why: office.wallets.set_balance(user, MAX_NANOS + 1, why, BOSS)),
    (InvalidAmount, lambda office, keys, user, key, why: office.wallets.refund(user, 0, why, BOSS)),
    (InvalidAmount, lambda office, keys, user, key, why: office.wallets.refund(user, -1, why, BOSS)),
    (InvalidAmount, lambda office, keys, user, key, why: office.wallets.refund(user, MAX_NANOS, why, BOSS)),
    (RequestNotFound, lambda office, keys, user, key, why: office.wallets.refund(user, 1, why, BOSS, uuid4())),
    (InvalidAmount, lambda office, keys, user, key, why: office.wallets.set_overdraft(user, -1, why, BOSS)),
    (InvalidAmount, lambda office, keys, user, key, why: office.wallets.set_overdraft(user, MAX_NANOS + 1, why, BOSS)),
    (WalletNotFound, lambda office, keys, user, key, why: office.wallets.refund(NOBODY, 1, why, BOSS)),
    (WalletNotFound, lambda office, keys, user, key, why: office.wallets.freeze(NOBODY, True, why, BOSS)),
    (WalletNotFound, lambda office, keys, user, key, why: office.wallets.set_overdraft(NOBODY, 1, why, BOSS)),
    (KeyNotFound, lambda office, keys, user, key, why: keys.freeze(NOBODY, True, why, BOSS)),
    (KeyNotFound, lambda office, keys, user, key, why: keys.revoke(NOBODY, why, BOSS)),
]


@pytest.mark.parametrize(("error", "act"), REFUSED, ids=range(len(REFUSED)))
async def test_what_is_refused_changes_nothing_and_leaves_no_line(
    office: Office, keys: KeyActs, error: type[Exception], act: Attempt
) -> None:
    wallet = await funded_wallet(office.store, 5)
    key_id = await new_key(office, wallet.user_id)
    before = await office.store.pool.fetchrow(EVERYTHING)
    with pytest.raises(error):
        await act(office, keys, wallet.user_id, key_id, WHY)
    assert await office.store.pool.fetchrow(EVERYTHING) == before, "nor is a wallet made for nobody"
