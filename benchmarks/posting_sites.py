"""Databases that the ledger posts into, with wallets and if wanted with a history; made once, for all repeats."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import pairwise

import asyncpg

from benchmarks.stack import Ground
from ledger.entries import WalletState
from ledger.migrate import migrate
from runtime.clock import wall_ms
from runtime.postgres import Connection, Pool, create_pool

# Making the history is a few statements, of a minute each.
QUERY_TIMEOUT_S = 3600.0
PAST_WALLETS = 1_000
# Of each table, written at once.
PARTS = 2
WALLETS = "INSERT INTO ai_wallets (user_id, balance) SELECT gen_random_uuid(), 1000 FROM generate_series(1, $1)"
# A request of each wallet in turn, from the beginning of the month to now.
PAST = """
SELECT id, turn, wallet_id, user_id, balance_before, lines_before
FROM (
    SELECT (lpad(to_hex(ms), 12, '0') || '7' || substr(noise, 1, 3) || '8' || substr(noise, 4, 15))::uuid AS id,
        n / {wallets} + 1 AS turn, n % {wallets} AS place
    FROM (
        SELECT n, md5(n::text) AS noise, month_ms + ({now_ms} - month_ms) * n / {rows} AS ms
        FROM generate_series({first}, {last} - 1) AS n,
            CAST(1000 * extract(epoch FROM date_trunc('month', to_timestamp({now_ms} / 1000))) AS bigint) AS month_ms
    ) made
) request JOIN (
    SELECT id AS wallet_id, user_id, balance AS balance_before, transaction_count AS lines_before,
        row_number() OVER (ORDER BY id) - 1 AS place
    FROM ai_wallets
) spender USING (place)"""
LOGS = """
INSERT INTO ai_usage_logs (id, user_id, wallet_id, api_key_id, model, endpoint, output_tokens, total_tokens, cost,
    usage_source, status_code, response_time_ms, created_at)
SELECT id, user_id, wallet_id, user_id, 'tiny', '/v1/chat/completions', 20, 20, 0.000001, 'reported', 200, 12,
    farebox_uuid7_time(id)
FROM ({past}) past"""
TRANSACTIONS = """
INSERT INTO ai_transactions (
    id, user_id, wallet_id, seq, amount, type, balance_before, balance_after, request_id, metadata)
SELECT id, user_id, wallet_id, lines_before + turn, -0.000001, 'usage', balance_before - 0.000001 * (turn - 1),
    balance_before - 0.000001 * turn, id, '{{"model": "tiny", "total_tokens": 20}}'
FROM ({past}) past"""
# What triggers would have summed up.
SUMS = """
UPDATE ai_wallets w SET balance = last.balance_after, transaction_count = last.seq
FROM (
    SELECT DISTINCT ON (wallet_id) wallet_id, balance_after, seq FROM ai_transactions ORDER BY wallet_id, seq DESC
) last
WHERE w.id = last.wallet_id;
INSERT INTO ai_usage_daily
SELECT user_id, wallet_id, api_key_id, model, (created_at AT TIME ZONE 'UTC')::date,
    count(*), sum(total_tokens), sum(cost), sum(uncollected)
FROM ai_usage_logs GROUP BY 1, 2, 3, 4, 5"""
# Indexes are made anew when all rows are there, and triggers do not run: both together, a tenth of the time.
INDEXES_OFF = """
UPDATE pg_index SET indisready = false, indisvalid = false
WHERE indrelid IN (SELECT relid FROM pg_partition_tree($1::regclass) WHERE isleaf)"""
IN_BULK = {"session_replication_role": "replica", "maintenance_work_mem": "256MB", "work_mem": "64MB"}

# Databases that are there, as repeats come back to them.
_made: set[str] = set()


@dataclass(frozen=True)
class Site:
    database: str
    pool: Pool
    wallets: list[WalletState]

    async def posted(self) -> int:
        """Requests, ever."""
        found: int = await self.pool.fetchval("SELECT coalesce(sum(requests), 0)::bigint FROM ai_usage_daily")
        return found


@asynccontextmanager
async def site(on: Ground, name: str, wallets: int, history: int = 0) -> AsyncIterator[Site]:
    """A database of its own, with at least so many wallets that have money, and `history` requests of theirs."""
    server, _, _ = on.database.rpartition("/")
    database = f"{server}/{name}"
    if database not in _made:
        await _make(on.database, name, database, wallets, history)
        _made.add(database)
    pool = await create_pool(database, command_timeout_s=QUERY_TIMEOUT_S)
    try:
        rows = await pool.fetch("SELECT id, user_id FROM ai_wallets ORDER BY id")
        yield Site(database, pool, [WalletState(row["id"], row["user_id"], 0, 0, 0) for row in rows])
    finally:
        await pool.close()


async def _make(beside: str, name: str, database: str, wallets: int, history: int) -> None:
    maker = await asyncpg.connect(beside)
    await maker.execute(f"CREATE DATABASE {name}")
    await maker.close()
    await migrate(database)
    maker = await asyncpg.connect(database, command_timeout=QUERY_TIMEOUT_S)
    await maker.execute(WALLETS, PAST_WALLETS if history else wallets)
    if history:
        now_ms, tables = wall_ms(), {"ai_usage_logs": LOGS, "ai_transactions": TRANSACTIONS}
        await asyncio.gather(*(_fill(database, table, rows, history, now_ms) for table, rows in tables.items()))
        await _in_bulk(maker)
        await maker.execute(SUMS)
    await maker.execute("VACUUM (ANALYZE) ai_wallets, ai_usage_daily")
    await maker.close()


async def _fill(database: str, table: str, statement: str, rows: int, now_ms: int) -> None:
    async with asyncpg.create_pool(
        database, min_size=PARTS, max_size=PARTS, command_timeout=QUERY_TIMEOUT_S, init=_in_bulk, reset=_keep
    ) as pool:
        await pool.execute(INDEXES_OFF, table)
        bounds = [rows * part // PARTS for part in range(PARTS + 1)]
        parts = [
            PAST.format(rows=rows, wallets=PAST_WALLETS, now_ms=now_ms, first=first, last=last)
            for first, last in pairwise(bounds)
        ]
        await asyncio.gather(*(pool.execute(statement.format(past=part)) for part in parts))
        await pool.execute(f"REINDEX TABLE {table}")
        await pool.execute(f"VACUUM (ANALYZE) {table}")


async def _keep(_: Connection) -> None:
    """What was set stays set when a connection goes back to the pool."""


async def _in_bulk(connection: Connection) -> None:
    for name, value in IN_BULK.items():
        await connection.execute("SELECT set_config($1, $2, false)", name, value)
