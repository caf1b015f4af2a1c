"""How long a user waits for statistics and pages where ten million requests are logged, a tenth of them that user's.

    python -m benchmarks.usage_statistics [--rows 10000000]

Makes a scratch Postgres (fsync off; some six gigabytes, ten minutes on a small machine), fills it, asks as the user
would, and prints milliseconds: the median and the worst of the runs.
"""

import asyncio
import shutil
import statistics
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from uuid import UUID

import click

from accounts import as_user as user_role
from accounts.filters import Filter
from accounts.request_usage import RequestUsages
from accounts.usage import Usage
from ledger.migrate import migrate
from runtime.clock import monotonic_ms, wall_ms
from runtime.embedded.postgres import EmbeddedPostgres
from runtime.postgres import Pool, create_pool

RUNS = 7
PERIOD_DAYS = 330
SMALL_USERS = 1000
ROWS_AT_ONCE = 250_000
LONG_S = 3600.0
BIG = UUID("00000000-0000-4000-8000-000000000000")
SMALL = UUID("00000000-0000-4000-8000-000000000007")
SETTINGS = {
    "fsync": "off", "full_page_writes": "off", "synchronous_commit": "off", "shared_buffers": "1GB",
    "max_wal_size": "4GB", "maintenance_work_mem": "512MB",
}  # fmt: skip
# What statistics would be without the daily sums.
BY_ROWS = """
SELECT model, count(*), sum(total_tokens), sum(cost) FROM ai_usage_logs
WHERE user_id = $1 AND created_at >= coalesce($2::timestamptz, '-infinity')
    AND created_at < coalesce($3::timestamptz, 'infinity')
GROUP BY model"""

PARTITIONS = """
DO $$
DECLARE
    first timestamptz := date_trunc('month', now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC';
BEGIN
    FOR back IN 1..12 LOOP
        EXECUTE format('CREATE TABLE ai_usage_logs_past_%s PARTITION OF ai_usage_logs FOR VALUES FROM (%L) TO (%L)',
            back, first - make_interval(months => back), first - make_interval(months => back - 1));
    END LOOP;
END $$"""
WALLETS = """
INSERT INTO ai_wallets (id, user_id)
SELECT u, u FROM (
    SELECT ('00000000-0000-4000-8000-' || lpad(to_hex(i), 12, '0'))::uuid AS u FROM generate_series(0, $1) i) users"""
# Every tenth request is the big user's, who has 5 keys and 8 models and gave a tenth of those an id of their own; the
# others have one key and two models each.
REQUESTS = """
INSERT INTO ai_usage_logs (id, user_id, wallet_id, api_key_id, model, endpoint, input_tokens, output_tokens,
    total_tokens, cost, usage_source, end_reason, status_code, response_time_ms, metadata, created_at)
SELECT id, owner, owner,
    ('00000000-0000-4000-9000-' || lpad(to_hex(CASE who WHEN 0 THEN i % 50 / 10 ELSE who + 10 END), 12, '0'))::uuid,
    'model-' || CASE who WHEN 0 THEN i / 50 % 8 ELSE (i / 1024 + who) % 2 + who % 7 END, '/v1/chat/completions',
    100 + i % 50, 200, 300 + i % 50, 0.0125 + (i % 1000) * 0.000000001, 'reported', 'complete', 200, 900,
    CASE WHEN i % 100 = 0 THEN jsonb_build_object('client_request_id', 'c' || i) ELSE '{}' END,
    farebox_uuid7_time(id)
FROM (
    SELECT i, who, ('00000000-0000-4000-8000-' || lpad(to_hex(who), 12, '0'))::uuid AS owner,
        (left(ms, 8) || '-' || substr(ms, 9, 4) || '-7000-8000-' || lpad(to_hex(i), 12, '0'))::uuid AS id
    FROM (
        SELECT i, CASE WHEN i % 10 = 0 THEN 0 ELSE 1 + (hashint8(i) & 1048575) % $4::int END AS who,
            lpad(to_hex($1::bigint + i * $2::bigint / $3::bigint), 12, '0') AS ms
        FROM generate_series($5::bigint, least($6::bigint, $3::bigint) - 1) i) requests
) given"""


@asynccontextmanager
async def scratch_database() -> AsyncIterator[Pool]:
    folder = await asyncio.to_thread(_folder)
    server = await EmbeddedPostgres.start(folder / "postgres", "scratch-scratch", settings=SETTINGS)
    try:
        await migrate(server.url)
        pool = await create_pool(server.url, command_timeout_s=LONG_S)
        yield pool
        await pool.close()
    finally:
        await server.stop()
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)


def _folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="farebox-benchmark-"))
    folder.chmod(0o711)  # as root, Postgres runs as somebody else
    return folder


async def fill(pool: Pool, rows: int) -> None:
    period_ms = PERIOD_DAYS * 86_400_000
    await pool.execute(PARTITIONS)
    await pool.execute(WALLETS, SMALL_USERS)
    start_ms = wall_ms() - period_ms
    for first in range(0, rows, ROWS_AT_ONCE):
        await pool.execute(REQUESTS, start_ms, period_ms, rows, SMALL_USERS, first, first + ROWS_AT_ONCE)
    await pool.execute("VACUUM ANALYZE")


async def timed(ask: Callable[[], Awaitable[object]]) -> str:
    took = []
    for _ in range(RUNS):
        start_ms = monotonic_ms()
        await ask()
        took.append(monotonic_ms() - start_ms)
    return f"{statistics.median(took):>8.0f} {max(took):>8.0f}"


async def by_rows(pool: Pool, user_id: UUID, wanted: Filter) -> object:
    async with user_role.as_user(pool, user_id) as connection:
        return await connection.fetch(BY_ROWS, user_id, wanted.start, wanted.end)


def questions(pool: Pool) -> dict[str, Callable[[], Awaitable[object]]]:
    usage, requests = Usage(pool), RequestUsages(pool)
    midnight = datetime.fromtimestamp(wall_ms() // 86_400_000 * 86_400, UTC)
    month = Filter(midnight - timedelta(days=31), midnight)
    odd = Filter(midnight - timedelta(days=31, hours=5), midnight - timedelta(hours=7))

    asked: dict[str, Callable[[], Awaitable[object]]] = {}
    for name, user_id in (("big", BIG), ("small", SMALL)):
        for period, wanted in (("month", month), ("month, broken days", odd), ("all", Filter())):
            asked[f"{name} user, {period}: row by row"] = partial(by_rows, pool, user_id, wanted)
            asked[f"{name} user, {period}: daily sums"] = partial(usage.statistics, user_id, wanted)
            asked[f"{name} user, {period}: also key, day"] = partial(usage.breakdown, user_id, wanted)
        asked[f"{name} user, first page of 50"] = partial(usage.page, user_id, Filter())
        asked[f"{name} user, page of one model"] = partial(usage.page, user_id, Filter(model="model-3"))
        asked[f"{name} user, page of no model"] = partial(usage.page, user_id, Filter(model="never used"))
        asked[f"{name} user, one request by client id"] = partial(requests.by_client_request_id, user_id, "c4000")
    return asked


async def measure(rows: int) -> None:
    user_role.STATEMENT_TIMEOUT_MS = int(LONG_S * 1000)  # what is too slow shall be measured, not cut off
    async with scratch_database() as pool:
        start_ms = monotonic_ms()
        await fill(pool, rows)
        sums = await pool.fetchval("SELECT count(*) FROM ai_usage_daily")
        seconds = (monotonic_ms() - start_ms) // 1000
        click.echo(f"{rows} requests, {sums} daily sums, made in {seconds} s\n{'':<42}{'median':>8} {'worst':>8}  ms")
        for name, ask in questions(pool).items():
            click.echo(f"{name:<42}{await timed(ask)}")


@click.command()
@click.option("--rows", default=10_000_000, show_default=True)
def main(rows: int) -> None:
    asyncio.run(measure(rows))


if __name__ == "__main__":
    main()
