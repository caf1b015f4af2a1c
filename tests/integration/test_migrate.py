"""Migrations on a real server. `database_url` is migrated already."""

import asyncio
from uuid import UUID

import asyncpg
import pytest
from msgspec.structs import replace

from ledger.audit import audit
from ledger.entries import RECOVERED
from ledger.migrate import MigrationError, migrate, pending, read_migrations
from ledger.postgres import Store
from runtime.clock import wall_ms
from runtime.ids import new_request_id
from runtime.postgres import create_pool
from tests.support.ledger import funded_wallet, settled

NAMES = [migration.name for migration in read_migrations()]


async def empty(database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    await connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    await connection.close()


async def test_migrating_again_does_nothing(database_url: str) -> None:
    assert await migrate(database_url) == []


async def test_two_at_once_apply_each_file_once(database_url: str) -> None:
    await empty(database_url)
    applied = await asyncio.gather(migrate(database_url), migrate(database_url))
    assert sorted(applied) == [[], NAMES]


async def test_pending_names_what_is_missing_and_changes_nothing(database_url: str) -> None:
    await empty(database_url)
    connection = await asyncpg.connect(database_url)
    try:
        assert await pending(connection) == NAMES
        assert await connection.fetchval("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == 0
        await migrate(database_url)
        assert await pending(connection) == []
    finally:
        await connection.close()


@pytest.mark.parametrize(
    "tampering",
    [
        "UPDATE farebox_migrations SET checksum = 'other' WHERE number = 2",
        "INSERT INTO farebox_migrations (number, name, checksum) VALUES (9999, '9999_future', '')",
    ],
)
async def test_a_history_that_is_not_ours_is_refused(database_url: str, tampering: str) -> None:
    connection = await asyncpg.connect(database_url)
    await connection.execute(tampering)
    await connection.close()
    with pytest.raises(MigrationError):
        await migrate(database_url)


async def test_the_time_in_an_id_is_read_to_the_millisecond(database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    try:
        for ms in (0, 1, 1_700_000_000_001, 1_763_798_400_999, 4_102_444_800_123):
            found: int = await connection.fetchval(
                "SELECT (extract(epoch FROM farebox_uuid7_time($1)) * 1000000)::bigint", new_request_id(ms)
            )
            assert found == ms * 1000
        assert await connection.fetchval("SELECT farebox_uuid7_time($1) = 'epoch'", UUID(int=0))
    finally:
        await connection.close()


_LOG = """
INSERT INTO ai_usage_logs (id, user_id, wallet_id, api_key_id, model, endpoint,
    input_tokens, cached_input_tokens, total_tokens, cost, status_code, response_time_ms, created_at)
VALUES ($1, $2, $2, $2, 'm', '/', 5, 2, 7, 0, 200, 1, farebox_uuid7_time($1))"""


async def test_new_kinds_of_usage_beside_rows_and_writers_of_the_version_before(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await empty(database_url)
    every = read_migrations()
    (place,) = [place for place, found in enumerate(every) if found.name == "0009_price_kinds"]
    monkeypatch.setattr("ledger.migrate.read_migrations", lambda: every[:place])
    await migrate(database_url)
    monkeypatch.undo()
    connection = await asyncpg.connect(database_url)
    try:
        await connection.execute("INSERT INTO ai_wallets (id, user_id) VALUES ($1, $1)", UUID(int=1))
        # one for the default partition, one for that of this month
        for ms in (1_000_000_000_000, wall_ms()):
            await connection.execute(_LOG, new_request_id(ms), UUID(int=1))
        await migrate(database_url)
        await connection.execute(_LOG, new_request_id(wall_ms()), UUID(int=1))
        rows = await connection.fetch("SELECT total_tokens, audio_input_tokens, images, audio_ms FROM ai_usage_logs")
        assert [tuple(row) for row in rows] == [(7, 0, 0, 0)] * 3
        with pytest.raises(asyncpg.CheckViolationError):
            await connection.execute("UPDATE ai_usage_logs SET audio_input_tokens = 1")
        assert await connection.fetchval("SELECT farebox_ensure_usage_partitions(5)") == 2
        assert (await audit(connection)).holds
    finally:
        await connection.close()


async def test_corrections_and_histories_by_hand_beside_lines_and_writers_of_the_version_before(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That version writes lines and debits by the same statements, and knows nothing of `corrects`."""
    await empty(database_url)
    every = read_migrations()
    (place,) = [place for place, found in enumerate(every) if found.name == "0014_usage_corrections"]
    monkeypatch.setattr("ledger.migrate.read_migrations", lambda: every[:place])
    await migrate(database_url)
    monkeypatch.undo()
    pool = await create_pool(database_url)
    try:
        store = Store(pool)
        wallet = await funded_wallet(store, 100)
        before = settled(wallet, 3, end_reason=RECOVERED)
        await store.post([before])
        await migrate(database_url)
        await store.record(wallet.wallet_id, "bonus", 5, "")
        await store.post([settled(wallet, 7)])
        true = replace(before, charge_nanos=4, entry=replace(before.entry, end_reason="complete", cost_nanos=4))
        assert (await store.post([true])).corrected == 1
        (state,) = await store.wallet_states([wallet.wallet_id])
        assert state.balance_nanos == 100 + 5 - 7 - 4
        assert (await audit(pool)).holds
    finally:
        await pool.close()


async def test_missing_partitions_are_made_once_and_take_over_rows_from_the_default(database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    try:
        next_month = "(date_trunc('month', now() AT TIME ZONE 'UTC') + interval '4 months 3 days') AT TIME ZONE 'UTC'"
        row_ms: int = await connection.fetchval(f"SELECT (extract(epoch FROM {next_month}) * 1000)::bigint")
        await connection.execute("INSERT INTO ai_wallets (id, user_id) VALUES ($1, $1)", UUID(int=1))
        await connection.execute(
            """INSERT INTO ai_usage_logs (id, user_id, wallet_id, api_key_id, model, endpoint,
                input_tokens, total_tokens, cost, status_code, response_time_ms, created_at)
            VALUES ($1, $2, $2, $2, 'm', '/', 5, 5, 0, 200, 1, farebox_uuid7_time($1))""",
            new_request_id(row_ms), UUID(int=1),
        )  # fmt: skip
        assert await connection.fetchval("SELECT count(*) FROM ai_usage_logs_default") == 1
        assert await connection.fetchval("SELECT farebox_ensure_usage_partitions(3)") == 0
        assert await connection.fetchval("SELECT farebox_ensure_usage_partitions(5)") == 2
        assert await connection.fetchval("SELECT count(*) FROM ai_usage_logs_default") == 0
        assert await connection.fetchval("SELECT count(*) FROM ai_usage_logs") == 1
        assert await connection.fetchval("SELECT farebox_ensure_usage_partitions(5)") == 0
    finally:
        await connection.close()
