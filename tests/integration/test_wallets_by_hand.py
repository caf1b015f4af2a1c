"""What an operator does to wallets in SQL is in their history, or refused; Farebox itself pays nothing for that."""

from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from ledger.audit import audit
from ledger.money import from_decimal
from ledger.postgres import Store
from runtime.postgres import create_pool
from tests.support.ledger import USD, funded_wallet, settled


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[Store]:
    pool = await create_pool(database_url)
    yield Store(pool)
    await pool.close()


async def history(store: Store, wallet_id: UUID) -> list[tuple[int, str, int, int]]:
    lines = await store.pool.fetch("SELECT * FROM ai_transactions WHERE wallet_id = $1 ORDER BY seq", wallet_id)
    return [
        (line["seq"], line["type"], from_decimal(line["amount"]), from_decimal(line["balance_after"])) for line in lines
    ]


async def must_hold(store: Store) -> None:
    report = await audit(store.pool)
    assert report.holds, report.violations


async def test_a_balance_that_is_set_becomes_an_adjustment(store: Store) -> None:
    wallet = await funded_wallet(store, 100)
    await store.pool.execute("UPDATE ai_wallets SET balance = 7")
    await store.pool.execute("UPDATE ai_wallets SET balance = balance - 0.000000001, is_frozen = true")
    await store.pool.execute("UPDATE ai_wallets SET balance = balance, is_frozen = false")
    assert await history(store, wallet.wallet_id) == [
        (1, "bonus", 100, 100),
        (2, "adjustment", 7 * USD - 100, 7 * USD),
        (3, "adjustment", -1, 7 * USD - 1),
    ]
    line = await store.pool.fetchrow("SELECT description, metadata, session_user FROM ai_transactions WHERE seq = 3")
    assert line is not None
    assert line["description"] == f"changed in SQL by {line['session_user']}"
    assert line["metadata"] == f'{{"by": "sql:{line["session_user"]}"}}'
    assert await store.pool.fetchval("SELECT transaction_count FROM ai_wallets") == 3
    await store.post([settled(wallet, 9)])
    await must_hold(store)


async def test_all_wallets_at_once(store: Store) -> None:
    wallets = [await funded_wallet(store, 100) for _ in range(20)]
    await store.pool.execute("UPDATE ai_wallets SET balance = balance + 1")
    for wallet in wallets:
        assert await history(store, wallet.wallet_id) == [(1, "bonus", 100, 100), (2, "adjustment", USD, USD + 100)]
    await must_hold(store)


async def test_a_wallet_that_is_inserted_with_a_balance_begins_with_it(store: Store) -> None:
    wallet_id: UUID = await store.pool.fetchval(
        "INSERT INTO ai_wallets (user_id, balance, overdraft) VALUES (gen_random_uuid(), -0.5, 1) RETURNING id"
    )
    assert await history(store, wallet_id) == [(1, "adjustment", -USD // 2, -USD // 2)]
    upsert = (
        "INSERT INTO ai_wallets (user_id, balance) SELECT user_id, 3 FROM ai_wallets"
        " ON CONFLICT (user_id) DO UPDATE SET balance = EXCLUDED.balance"
    )
    await store.pool.execute(upsert)
    assert (await history(store, wallet_id))[1:] == [(2, "adjustment", 3 * USD + USD // 2, 3 * USD)]
    await store.pool.execute(upsert.replace("DO UPDATE SET balance = EXCLUDED.balance", "DO NOTHING"))
    await must_hold(store)


REFUSED = [
    "UPDATE ai_wallets SET transaction_count = transaction_count + 1",
    "UPDATE ai_wallets SET transaction_count = 0",
    "UPDATE ai_wallets SET balance = balance + 1, transaction_count = transaction_count + 1",
    "UPDATE ai_wallets SET balance = balance + 1, transaction_count = transaction_count - 1",
    "UPDATE ai_wallets SET id = gen_random_uuid()",
    "UPDATE ai_wallets SET user_id = gen_random_uuid()",
    "UPDATE ai_wallets SET user_id = gen_random_uuid(), balance = 5",
    "DELETE FROM ai_wallets",
    "TRUNCATE ai_wallets CASCADE",
    "INSERT INTO ai_wallets (user_id, transaction_count) VALUES (gen_random_uuid(), 1)",
    "INSERT INTO ai_wallets (user_id, balance, transaction_count) VALUES (gen_random_uuid(), 1, 1)",
]


@pytest.mark.parametrize("statement", REFUSED)
async def test_what_would_part_a_wallet_from_its_history_is_refused(store: Store, statement: str) -> None:
    wallet = await funded_wallet(store, 100)
    with pytest.raises(asyncpg.RestrictViolationError):
        await store.pool.execute(statement)
    assert (await store.wallet_states([wallet.wallet_id])) == [wallet]
    await must_hold(store)


async def test_a_wallet_without_a_history_may_go(store: Store) -> None:
    await store.ensure_wallet(uuid4())
    assert await store.pool.execute("DELETE FROM ai_wallets") == "DELETE 1"


async def test_a_line_and_its_balance_may_be_written_by_hand_in_one_statement(store: Store) -> None:
    """As Farebox does it, in this version and in those before."""
    wallet = await funded_wallet(store, 100)
    await store.pool.execute(
        "WITH moved AS (UPDATE ai_wallets SET balance = balance + 2, transaction_count = transaction_count + 1"
        " RETURNING *) INSERT INTO ai_transactions"
        " (wallet_id, user_id, seq, type, amount, balance_before, balance_after)"
        " SELECT id, user_id, transaction_count, 'bonus', 2, balance - 2, balance FROM moved"
    )
    assert await history(store, wallet.wallet_id) == [(1, "bonus", 100, 100), (2, "bonus", 2 * USD, 2 * USD + 100)]
    await must_hold(store)


async def test_who_may_only_write_wallets_is_named_in_the_history(store: Store, database_url: str) -> None:
    role = f"clerk_{uuid4().hex}"
    await store.pool.execute(f"CREATE ROLE {role} LOGIN BYPASSRLS PASSWORD 'x'")
    await store.pool.execute(f"GRANT SELECT, UPDATE ON ai_wallets TO {role}")
    wallet = await funded_wallet(store, 100)
    clerk: Any = await asyncpg.connect(database_url, user=role, password="x")
    try:
        await clerk.execute("UPDATE ai_wallets SET balance = $1", Decimal(4))
    finally:
        await clerk.close()
    found = await store.pool.fetchval("SELECT description FROM ai_transactions WHERE type = 'adjustment'")
    assert found == f"changed in SQL by {role}"
    assert (await history(store, wallet.wallet_id))[-1] == (2, "adjustment", 4 * USD - 100, 4 * USD)
    await store.pool.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")
    await must_hold(store)
