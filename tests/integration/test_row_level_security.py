"""As the user's role even a query without a WHERE finds that user's rows only, and the connection comes back clean."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID, uuid4

import asyncpg
import pytest

from accounts import as_user as module
from accounts.as_user import as_user
from ledger.entries import WalletState
from ledger.migrate import migrate, read_migrations
from ledger.postgres import Store
from runtime.embedded.postgres import EmbeddedPostgres
from runtime.ids import new_request_id
from runtime.postgres import Pool, create_pool
from tests.support.ledger import funded_wallet, settled, until
from tests.support.servers import NO_DURABILITY, with_database

INSERT_KEY = """
INSERT INTO ai_api_keys (user_id, key_prefix, key_hash, name) VALUES ($1, 'pre', 'hash', 'n') RETURNING id"""
OWN = ("ai_wallets", "ai_transactions", "ai_usage_logs", "ai_usage_daily")
NOT_ALLOWED = asyncpg.InsufficientPrivilegeError


@dataclass(frozen=True)
class Two:
    """Two users, each with a wallet, a key, a bonus and a request; on a pool of one connection."""

    pool: Pool
    ann: WalletState
    bob: WalletState

    async def role(self) -> tuple[str, str]:
        row = await self.pool.fetchrow("SELECT current_user, coalesce(current_setting('farebox.user_id', true), '')")
        assert row is not None
        return row[0], row[1]


@pytest.fixture
async def two(database_url: str) -> AsyncIterator[Two]:
    pool = await create_pool(database_url, max_size=1)
    store = Store(pool)
    ann, bob = [await funded_wallet(store) for _ in range(2)]
    await store.post([settled(ann), settled(bob)])
    for wallet in (ann, bob):
        await pool.fetchval(INSERT_KEY, wallet.user_id)
    yield Two(pool, ann, bob)
    await pool.close()


@pytest.mark.parametrize("table", OWN)
async def test_a_query_that_forgot_its_where_sees_nothing_of_others(two: Two, table: str) -> None:
    everyone = {row["user_id"] for row in await two.pool.fetch(f"SELECT * FROM {table}")}
    assert everyone == {two.ann.user_id, two.bob.user_id}
    for wallet in (two.ann, two.bob):  # the same statement, prepared on the same connection, for each
        async with as_user(two.pool, wallet.user_id) as connection:
            assert {row["user_id"] for row in await connection.fetch(f"SELECT * FROM {table}")} == {wallet.user_id}
    async with as_user(two.pool, uuid4()) as connection:
        assert await connection.fetch(f"SELECT * FROM {table}") == []


async def test_keys_are_seen_without_their_hash(two: Two) -> None:
    async with as_user(two.pool, two.ann.user_id) as connection:
        rows = await connection.fetch("SELECT id, user_id, name, is_active FROM ai_api_keys")
        assert [row["user_id"] for row in rows] == [two.ann.user_id]
    for columns in ("key_hash", "*"):
        with pytest.raises(NOT_ALLOWED):
            async with as_user(two.pool, two.ann.user_id) as connection:
                await connection.fetch(f"SELECT {columns} FROM ai_api_keys")


async def test_an_update_that_forgot_its_where_changes_own_keys_only(two: Two) -> None:
    async with as_user(two.pool, two.ann.user_id) as connection:
        assert await connection.execute("UPDATE ai_api_keys SET is_active = false, name = 'x'") == "UPDATE 1"
    rows = await two.pool.fetch("SELECT user_id FROM ai_api_keys WHERE NOT is_active")
    assert [row["user_id"] for row in rows] == [two.ann.user_id]


async def test_a_key_for_somebody_else_cannot_be_made_nor_given_away(two: Two) -> None:
    async with as_user(two.pool, two.ann.user_id) as connection:
        assert await connection.fetchval(INSERT_KEY, two.ann.user_id)
    for statement in (INSERT_KEY, INSERT_KEY.removesuffix(" RETURNING id"), "UPDATE ai_api_keys SET user_id = $1"):
        with pytest.raises(NOT_ALLOWED):
            async with as_user(two.pool, two.ann.user_id) as connection:
                await connection.execute(statement, two.bob.user_id)
    assert await two.pool.fetchval("SELECT count(*) FROM ai_api_keys WHERE user_id = $1", two.bob.user_id) == 1


async def test_a_users_first_key_makes_the_wallet_it_spends_from(two: Two) -> None:
    user_id = uuid4()
    async with as_user(two.pool, user_id) as connection:
        await connection.fetchval(INSERT_KEY, user_id)
    assert await two.pool.fetchval("SELECT balance FROM ai_wallets WHERE user_id = $1", user_id) == 0


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE ai_wallets SET balance = 1000",
        "INSERT INTO ai_wallets (user_id) VALUES (gen_random_uuid())",
        "INSERT INTO ai_transactions (user_id, wallet_id) VALUES (gen_random_uuid(), gen_random_uuid())",
        "DELETE FROM ai_api_keys",
        "DELETE FROM ai_usage_logs",
        "UPDATE ai_usage_daily SET cost = 0",
        "UPDATE ai_pricing SET is_active = false",
        "UPDATE ai_api_keys SET key_hash = 'mine'",
        "UPDATE ai_api_keys SET is_frozen = false",
        "UPDATE ai_wallets SET is_frozen = false",
        "INSERT INTO ai_api_keys (user_id, key_prefix, key_hash, name, is_frozen)"
        " SELECT user_id, 'p', 'h', 'n', false FROM ai_wallets",
        "SELECT * FROM farebox_dead_letters",
        "SELECT * FROM farebox_migrations",
        "SELECT * FROM ai_usage_logs_default",
        "SELECT farebox_ensure_usage_partitions(9)",
        "CREATE ROLE another",
    ],
)
async def test_what_the_account_api_never_does_the_role_may_not(two: Two, statement: str) -> None:
    with pytest.raises(NOT_ALLOWED):
        async with as_user(two.pool, two.ann.user_id) as connection:
            await connection.execute(statement)


async def test_everybody_sees_the_prices(two: Two) -> None:
    await two.pool.execute(
        "INSERT INTO ai_pricing (model, input_price_per_1k_tokens, output_price_per_1k_tokens) VALUES ('m', 1, 1)"
    )
    async with as_user(two.pool, uuid4()) as connection:
        assert await connection.fetchval("SELECT model FROM ai_pricing") == "m"


async def test_without_an_id_the_role_sees_nothing(two: Two) -> None:
    for setting in (None, ""):
        async with two.pool.acquire() as connection, connection.transaction():
            await connection.execute("SET LOCAL ROLE farebox_user")
            if setting is not None:
                await connection.execute("SELECT set_config('farebox.user_id', $1, true)", setting)
            for table in OWN:
                assert await connection.fetch(f"SELECT * FROM {table}") == []


async def test_partitions_to_come_are_closed_too(two: Two) -> None:
    assert await two.pool.fetchval("SELECT farebox_ensure_usage_partitions(6)") == 3
    months = (
        "SELECT (extract(epoch FROM now() + make_interval(months => m)) * 1000)::bigint FROM generate_series(1, 6) m"
    )
    times = [row[0] for row in await two.pool.fetch(months)]
    await Store(two.pool).post([settled(two.bob, request_id=new_request_id(ms)) for ms in times])
    # As where new tables are granted to others by default.
    await two.pool.execute("GRANT SELECT ON ALL TABLES IN SCHEMA public TO farebox_user")
    parts = [row[0] for row in await two.pool.fetch("SELECT inhrelid::regclass::text FROM pg_inherits")]
    parts = [part for part in parts if part.startswith("ai_usage_logs_") and "_idx" not in part and "_pkey" not in part]
    rows = [await two.pool.fetchval(f"SELECT count(*) FROM {part}") for part in parts]
    assert sorted(rows) == [0, 1, 1, 1, 1, 1, 1, 2]  # none in the default partition
    async with as_user(two.pool, two.ann.user_id) as connection:
        for part in [*parts, "farebox_dead_letters", "farebox_migrations"]:
            assert await connection.fetch(f"SELECT * FROM {part}") == []


async def test_the_owner_sees_and_posts_for_everybody(two: Two) -> None:
    async with as_user(two.pool, two.ann.user_id):
        pass
    outcome = await Store(two.pool).post([settled(two.ann), settled(two.bob)])
    assert outcome.posted == 2


async def test_the_connection_comes_back_clean(two: Two) -> None:
    before = await two.role()
    async with as_user(two.pool, two.ann.user_id) as connection:
        found = await connection.fetchrow("SELECT current_user, current_setting('farebox.user_id')")
        assert tuple(found or ()) == ("farebox_user", str(two.ann.user_id))
    assert await two.role() == before
    with pytest.raises(asyncpg.DivisionByZeroError):
        async with as_user(two.pool, two.ann.user_id) as connection:
            await connection.execute("SELECT 1 / 0")
    with pytest.raises(KeyError):
        async with as_user(two.pool, two.ann.user_id):
            raise KeyError
    assert await two.role() == before


async def test_the_transaction_itself_leaves_nothing_behind(database_url: str) -> None:
    async def left_as_it_is(_connection: object) -> None:
        """Instead of the pool's own cleaning up."""

    async with asyncpg.create_pool(database_url, min_size=1, max_size=1, reset=left_as_it_is) as pool:
        async with as_user(pool, uuid4()) as connection:
            assert await connection.fetchval("SELECT current_user") == "farebox_user"
        settings = ("farebox.user_id", "statement_timeout", "plan_cache_mode")
        left = [await pool.fetchval(f"SELECT current_setting('{name}')") for name in settings]
        assert [await pool.fetchval("SELECT current_user"), *left] == ["farebox", "", "0", "auto"]


@pytest.mark.parametrize("again", [False, True])
async def test_the_connection_comes_back_clean_after_a_cancellation(two: Two, again: bool) -> None:
    before = await two.role()
    asked = asyncio.Event()

    async def ask() -> None:
        async with as_user(two.pool, two.ann.user_id) as connection:
            asked.set()
            await connection.execute("SELECT pg_sleep(3)")

    task = asyncio.get_running_loop().create_task(ask())
    await asked.wait()
    await asyncio.sleep(0)
    task.cancel()
    if again:
        await asyncio.sleep(0)
        task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await two.role() == before
    async with as_user(two.pool, two.bob.user_id) as connection:
        assert {row["user_id"] for row in await connection.fetch("SELECT * FROM ai_wallets")} == {two.bob.user_id}


async def test_a_statement_that_takes_too_long_is_ended(two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STATEMENT_TIMEOUT_MS", 20)
    with pytest.raises(asyncpg.QueryCanceledError):
        async with as_user(two.pool, two.ann.user_id) as connection:
            await connection.execute("SELECT pg_sleep(60)")
    assert await two.pool.fetchval("SHOW statement_timeout") == "0"


async def test_a_snapshot_reads_only(two: Two) -> None:
    with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
        async with as_user(two.pool, two.ann.user_id, snapshot=True) as connection:
            await connection.execute("UPDATE ai_api_keys SET name = 'y'")


SUPABASE = """
CREATE SCHEMA auth;
CREATE FUNCTION auth.uid() RETURNS uuid LANGUAGE sql STABLE AS
    $$ SELECT nullif(current_setting('request.jwt.claim.sub', true), '')::uuid $$;"""


async def test_where_auth_uid_exists_it_says_whose_rows_are_shown(two: Two) -> None:
    async def seen(claimed: UUID) -> list[UUID]:
        async with two.pool.acquire() as connection, connection.transaction():
            await connection.execute("SELECT set_config('request.jwt.claim.sub', $1, true)", str(claimed))
            await connection.execute("SET LOCAL ROLE farebox_user")
            return [row["user_id"] for row in await connection.fetch("SELECT user_id FROM ai_wallets")]

    assert await seen(two.ann.user_id) == []
    await two.pool.execute(SUPABASE)
    assert await seen(two.ann.user_id) == []  # its schema is not open to us: nobody, and no error
    await two.pool.execute("GRANT USAGE ON SCHEMA auth TO farebox_user")
    assert await seen(two.ann.user_id) == [two.ann.user_id]
    async with as_user(two.pool, two.bob.user_id) as connection:  # what the API says goes first
        assert await connection.fetchval("SELECT user_id FROM ai_wallets") == two.bob.user_id


@pytest.fixture
async def server(reachable_dir: Path) -> AsyncIterator[EmbeddedPostgres]:
    """A server without the role, of this test's own: roles belong to the whole server."""
    made = await EmbeddedPostgres.start(reachable_dir / "postgres", "p" * 20, settings=NO_DURABILITY)
    yield made
    await made.stop()


async def run(url: str, *statements: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


async def test_databases_of_one_server_may_be_migrated_at_once(server: EmbeddedPostgres) -> None:
    names = [f"shop_{n}" for n in range(4)]
    await run(server.url, *(f"CREATE DATABASE {name}" for name in names))
    maker, watcher = [await asyncpg.connect(server.url) for _ in range(2)]

    async def all_wait() -> bool:
        waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname LIKE 'shop%'"
        return bool(await watcher.fetchval(waiting) == len(names))

    try:
        async with asyncio.TaskGroup() as group, maker.transaction():
            await maker.execute("CREATE ROLE farebox_user NOLOGIN")  # so that all come to this point at once
            migrations = [group.create_task(migrate(with_database(server.url, name))) for name in names]
            await until(all_wait)
    finally:
        await maker.close()
        await watcher.close()
    assert [len(migration.result()) for migration in migrations] == [len(read_migrations())] * len(names)


def as_clerk(url: str, database: str) -> str:
    return with_database(url, database).replace("//farebox:", "//clerk:")


async def test_who_may_not_make_the_role_is_told_what_a_superuser_must_run(server: EmbeddedPostgres) -> None:
    password = "p" * 20
    await run(server.url, f"CREATE ROLE clerk LOGIN PASSWORD '{password}'", "CREATE DATABASE shop OWNER clerk")
    url = as_clerk(server.url, "shop")
    told = "CREATE ROLE farebox_user NOLOGIN; GRANT farebox_user TO clerk;"
    with pytest.raises(NOT_ALLOWED, match=told):
        await migrate(url)
    await run(server.url, "CREATE ROLE farebox_user NOLOGIN")
    with pytest.raises(NOT_ALLOWED, match="must run: GRANT farebox_user TO clerk;"):
        await migrate(url)
    await run(server.url, "GRANT farebox_user TO clerk")
    assert "0005_row_level_security" in await migrate(url)
    await sees_own_wallet(url)


async def test_who_may_make_roles_makes_it(server: EmbeddedPostgres) -> None:
    password = "p" * 20
    await run(
        server.url, f"CREATE ROLE clerk LOGIN CREATEROLE PASSWORD '{password}'", "CREATE DATABASE shop OWNER clerk"
    )
    url = as_clerk(server.url, "shop")
    assert "0005_row_level_security" in await migrate(url)
    await sees_own_wallet(url)


async def sees_own_wallet(url: str) -> None:
    pool = await create_pool(url)
    try:
        ann, _ = [await Store(pool).ensure_wallet(uuid4()) for _ in range(2)]
        async with as_user(pool, ann.user_id) as connection:
            assert [row["id"] for row in await connection.fetch("SELECT * FROM ai_wallets")] == [ann.wallet_id]
    finally:
        await pool.close()


@pytest.mark.parametrize("flaw", ["BYPASSRLS", "LOGIN", "SUPERUSER", "IN ROLE farebox"])
async def test_a_role_that_policies_do_not_bind_is_refused(server: EmbeddedPostgres, flaw: str) -> None:
    await run(server.url, f"CREATE ROLE farebox_user {flaw}")
    with pytest.raises(asyncpg.RaiseError, match="protects nothing"):
        await migrate(server.url)
