"""The SQL that docs/SETUP.md gives for a Supabase database lets people read their own rows there, and no more."""

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID, uuid4

import asyncpg
import pytest

from ledger.postgres import Store
from runtime.postgres import Pool, create_pool
from tests.support.ledger import funded_wallet, settled

PAGE = Path(__file__).parents[2] / "docs" / "SETUP.md"
_SQL = re.compile(r"```sql\n(GRANT SELECT .*?)```", re.DOTALL)
READABLE = ("ai_wallets", "ai_transactions", "ai_usage_logs", "ai_usage_daily")
# As projects are made: `authenticated` may do everything to the tables of `public`; only the policies are in its way.
PROJECT = """
CREATE ROLE {role} NOLOGIN;
CREATE SCHEMA auth;
CREATE FUNCTION auth.uid() RETURNS uuid LANGUAGE sql STABLE AS
    $$ SELECT nullif(current_setting('request.jwt.claim.sub', true), '')::uuid $$;
GRANT USAGE ON SCHEMA auth, public TO {role};
GRANT ALL ON ALL TABLES IN SCHEMA public TO {role};
"""
INSERT_KEY = """
INSERT INTO ai_api_keys (user_id, key_prefix, key_hash, name) VALUES ($1, 'pre', 'hash', 'n')"""


@dataclass(frozen=True)
class Project:
    pool: Pool
    role: str
    ann: UUID
    bob: UUID

    async def as_ann(self, statement: str, *values: object) -> list[asyncpg.Record]:
        """What Ann gets through the project's own API."""
        async with self.pool.acquire() as connection, connection.transaction():
            await connection.execute("SELECT set_config('request.jwt.claim.sub', $1, true)", str(self.ann))
            await connection.execute(f"SET LOCAL ROLE {self.role}")
            return await connection.fetch(statement, *values)


@pytest.fixture
async def project(database_url: str) -> AsyncIterator[Project]:
    pool = await create_pool(database_url)
    role = f"authenticated_{uuid4().hex}"  # roles belong to the whole server
    store = Store(pool)
    ann, bob = [await funded_wallet(store) for _ in range(2)]
    await store.post([settled(ann), settled(bob)])
    for wallet in (ann, bob):
        await pool.execute(INSERT_KEY, wallet.user_id)
    await pool.execute(PROJECT.format(role=role))
    (statements,) = _SQL.findall(PAGE.read_text())
    await pool.execute(statements.replace("authenticated", role))
    yield Project(pool, role, ann.user_id, bob.user_id)
    await pool.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")
    await pool.close()


@pytest.mark.parametrize("table", READABLE)
async def test_people_see_their_own_rows_and_no_others(project: Project, table: str) -> None:
    assert {row["user_id"] for row in await project.as_ann(f"SELECT * FROM {table}")} == {project.ann}


async def test_of_everything_else_they_see_nothing_but_the_prices(project: Project) -> None:
    tables = await project.pool.fetch(
        "SELECT c.relname AS name, c.relrowsecurity AS is_closed FROM pg_class c"
        " WHERE c.relkind IN ('r', 'p') AND c.relnamespace = 'public'::regnamespace AND NOT c.relname = ANY($1)",
        [*READABLE, "ai_pricing"],
    )
    assert {"ai_api_keys", "farebox_admin_log", "farebox_stripe_payments"} <= {table["name"] for table in tables}
    for table in tables:
        assert table["is_closed"], table
        assert await project.as_ann(f'SELECT 1 FROM "{table["name"]}"') == [], table


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE ai_wallets SET balance = 1000 RETURNING 1",
        "UPDATE ai_api_keys SET rate_limit_per_minute = 1000000, is_active = true RETURNING 1",
        "DELETE FROM ai_api_keys RETURNING 1",
        "UPDATE ai_pricing SET is_active = false RETURNING 1",
        "UPDATE farebox_notice_settings SET email = 'somebody@example.com' RETURNING 1",
    ],
)
async def test_they_change_nothing(project: Project, statement: str) -> None:
    assert await project.as_ann(statement) == []


async def test_they_make_no_key_and_no_wallet(project: Project) -> None:
    for statement in (INSERT_KEY, "INSERT INTO ai_wallets (user_id, balance) VALUES ($1, 5)"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await project.as_ann(statement, project.ann)
