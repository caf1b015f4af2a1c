"""The release before goes on beside the newest schema: an upgrade stops nothing, and can be taken back."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
from msgspec.structs import replace

from ledger.audit import audit
from ledger.entries import RECOVERED
from ledger.migrate import migrate
from ledger.postgres import Store
from ledger.retention import Retention
from runtime.postgres import Connection, create_pool
from tests.support.ledger import USD, funded_wallet, settled
from tests.support.months import make_partitions, post_months
from tests.support.release_before import Before
from tests.support.release_snapshot import migrations_before, queries_before

# Put before the others of its file: accounts/price_trial.py.
HEAD = "tried"
GRANTS = """
SELECT table_name, column_name, privilege_type FROM information_schema.column_privileges
WHERE grantee = 'farebox_user'"""
POLICIES = "SELECT tablename, policyname, roles::text, cmd FROM pg_policies"
FUNCTIONS = """
SELECT proname, pg_get_function_identity_arguments(oid), pg_get_function_result(oid) FROM pg_proc
WHERE proname LIKE 'farebox_%'"""
TRIGGERS = """
SELECT tgrelid::regclass::text, tgname FROM pg_trigger
WHERE NOT tgisinternal AND tgrelid::regclass::text ~ '^(ai|farebox)_' AND tgrelid::regclass::text !~ '_[0-9]{2}$'"""
# What an INSERT that does not know a column must give it.
DEMANDING = """
SELECT table_name, column_name FROM information_schema.columns
WHERE table_schema = 'public' AND is_nullable = 'NO' AND column_default IS NULL AND is_identity = 'NO'"""
TABLES = "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'"


@dataclass(frozen=True)
class Schema:
    """`queries`: what each takes and gives, as Postgres sees it."""

    queries: dict[str, Any]
    promised: set[Any]
    demanding: set[Any]
    tables: set[str]


async def shape(connection: Connection, query: str) -> Any:
    prepared = await connection.prepare(query)
    columns = [(column.name, column.type.name) for column in prepared.get_attributes()]
    return [parameter.name for parameter in prepared.get_parameters()], columns


async def schema_of(connection: Connection) -> Schema:
    queries: dict[str, Any] = {}
    for file, named in queries_before().items():
        for name in named.keys() - {HEAD}:
            try:
                queries[f"{file} {name}"] = await shape(connection, named.get(HEAD, "") + named[name])
            except asyncpg.PostgresError as error:
                queries[f"{file} {name}"] = str(error)
    promised = {
        tuple(row) for query in (GRANTS, POLICIES, FUNCTIONS, TRIGGERS) for row in await connection.fetch(query)
    }
    demanding = {tuple(row) for row in await connection.fetch(DEMANDING)}
    return Schema(queries, promised, demanding, {row[0] for row in await connection.fetch(TABLES)})


@pytest.fixture
async def before_url(database_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A database as the release before made it."""
    connection = await asyncpg.connect(database_url)
    await connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    await connection.close()
    with monkeypatch.context() as patch:
        patch.setattr("ledger.migrate.read_migrations", migrations_before)
        await migrate(database_url)
    return database_url


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[Store]:
    pool = await create_pool(database_url)
    yield Store(pool)
    await pool.close()


async def test_what_the_release_before_asks_for_is_still_there(before_url: str) -> None:
    connection = await asyncpg.connect(before_url)
    try:
        before = await schema_of(connection)
        await migrate(before_url)
        after = await schema_of(connection)
    finally:
        await connection.close()
    assert {name: found for name, found in before.queries.items() if isinstance(found, str)} == {}
    assert len(before.queries) > 100
    assert {name: found for name, found in after.queries.items() if found != before.queries[name]} == {}
    assert before.promised - after.promised == set(), "grants, policies, functions or triggers were taken away"
    demanded = {(table, column) for table, column in after.demanding - before.demanding if table in before.tables}
    assert demanded == set(), "its INSERTs know nothing of these columns"


async def test_old_and_new_writers_post_correct_and_credit_beside_each_other(store: Store) -> None:
    old, wallet = Before(store.pool), await funded_wallet(store)
    shared = [settled(wallet, cost) for cost in (10, 20, 30)]
    assert await old.post(shared[:2]) == (2, 0)
    assert (await store.post(shared)).posted == 1, "a request is posted once, whoever is first"
    assert await old.post(shared) == (0, 0)

    for first_is_old in (True, False):
        recovered = settled(wallet, 50, end_reason=RECOVERED)
        true = replace(recovered, entry=replace(recovered.entry, end_reason="complete", cost_nanos=70))
        if first_is_old:
            await old.post([recovered])
            assert (await store.post([true])).corrected == 1
        else:
            await store.post([recovered])
            assert await old.post([true]) == (0, 1)

    async def by_old(cost: int) -> None:
        await old.post([settled(wallet, cost)])
        await old.give(wallet, cost)

    async def by_new(cost: int) -> None:
        await store.post([settled(wallet, cost)])
        await store.record(wallet.wallet_id, "bonus", cost, "")

    await asyncio.gather(*(by(cost) for cost in range(1, 11) for by in (by_old, by_new)))
    (state,) = await store.wallet_states([wallet.wallet_id])
    assert state.balance_nanos == 10 * USD - 60 - 2 * 70
    assert (await audit(store.pool)).holds
    async with store.pool.acquire() as connection:
        assert await old.breaks(connection) == {}


async def test_the_release_before_makes_partitions_and_is_refused_what_is_closed(store: Store) -> None:
    old, wallet = Before(store.pool), await funded_wallet(store)
    entries = await post_months(store, wallet, 2)
    assert await old.ensure_partitions(5) == 2 and await store.ensure_partitions(6) == 1
    await Retention(store.pool, 1).run()
    late = min(entries, key=lambda entry: entry.entry.request_id)
    with pytest.raises(asyncpg.CheckViolationError, match="is closed"):
        await old.post([late])
    await make_partitions(store.pool, 1)
    assert await old.post([settled(wallet, 5)]) == (1, 0)
    assert (await audit(store.pool)).holds


async def test_a_history_of_the_release_before_is_upgraded_and_goes_on(before_url: str) -> None:
    pool = await create_pool(before_url)
    try:
        store, old = Store(pool), Before(pool)
        wallet = await store.ensure_wallet(uuid4())
        await old.give(wallet, USD)
        recovered = settled(wallet, 50, end_reason=RECOVERED)
        await old.post([settled(wallet, 10), recovered])
        await migrate(before_url)
        await old.post([settled(wallet, 20)])
        true = replace(recovered, entry=replace(recovered.entry, end_reason="complete", cost_nanos=40))
        assert (await store.post([true, settled(wallet, 30)])).corrected == 1
        (state,) = await store.wallet_states([wallet.wallet_id])
        assert state.balance_nanos == USD - 10 - 20 - 30 - 40
        assert (await audit(pool)).holds
    finally:
        await pool.close()
