"""What it costs to archive and drop a month of ten million requests, which is a hundred million a year, and how long
posting waits meanwhile.

    python -m benchmarks.retention [--rows 10000000] [--archive FOLDER]

Makes a scratch Postgres (fsync off; ten gigabytes), fills a month of the past, and drops it while requests of today are
posted: nine minutes on a small machine that has twice as much else to do. Prints seconds by step, and milliseconds that
a batch took to be posted.
"""

import asyncio
import resource
import statistics
import tempfile
from datetime import date
from pathlib import Path
from time import perf_counter

import click

from benchmarks.usage_statistics import scratch_database
from ledger.audit import audit
from ledger.postgres import Store
from ledger.retention import Retention, Retired
from runtime.postgres import Pool
from runtime.tasks import TaskSet
from tests.support.ledger import funded_wallet, settled
from tests.support.months import month_back

WALLETS = 10_000
# Posted again and again meanwhile: a batch as a busy ledger process makes them.
BATCH = 200
QUIET_S = 10.0
KEPT_MONTHS = 1

# Without triggers and before there are indexes, which takes a third of the time; what triggers would sum up is written
# here. Requests of each wallet in turn, from the month's beginning to its end.
FILL = """
SET session_replication_role = replica;
INSERT INTO ai_wallets (user_id, balance) SELECT gen_random_uuid(), 1000 FROM generate_series(1, {wallets});
CREATE TEMPORARY TABLE spender AS SELECT id, user_id, row_number() OVER () - 1 AS place FROM ai_wallets;
CREATE UNIQUE INDEX ON spender (place);
CREATE TEMPORARY TABLE past AS
SELECT (lpad(to_hex(ms), 12, '0') || '7' || substr(noise, 1, 3) || '8' || substr(noise, 4, 15))::uuid AS id,
    n / {wallets} + 1 AS turn, n % {wallets} AS place
FROM (
    SELECT n, md5(n::text) AS noise,
        (1000 * extract(epoch FROM month + interval '28 days' * n / {rows}))::bigint AS ms
    FROM generate_series(0, {rows} - 1) AS n, (SELECT '{month}'::timestamp AT TIME ZONE 'UTC' AS month) AS the_month
) made;
CREATE TABLE {table} (LIKE ai_usage_logs INCLUDING DEFAULTS INCLUDING CONSTRAINTS);
INSERT INTO {table} (id, user_id, wallet_id, api_key_id, model, endpoint, input_tokens, output_tokens, total_tokens,
    cost, usage_source, end_reason, status_code, response_time_ms, created_at, metadata)
SELECT past.id, user_id, spender.id, user_id, 'meta-llama/Llama-3.3-70B-Instruct', '/v1/chat/completions',
    turn % 900, 250, turn % 900 + 250, 0.000001, 'reported', 'completed', 200, turn % 4000, farebox_uuid7_time(past.id),
    jsonb_build_object('upstream', 'default', 'streamed', true, 'first_byte_ms', turn % 300)
FROM past JOIN spender USING (place);
DROP INDEX ai_transactions_user;
ALTER TABLE ai_transactions DROP CONSTRAINT ai_transactions_wallet_id_seq_key;
INSERT INTO ai_transactions (
    id, user_id, wallet_id, seq, amount, type, balance_before, balance_after, request_id, created_at, metadata)
SELECT past.id, user_id, spender.id, turn + 1, -0.000001, 'usage',
    1000 - 0.000001 * (turn - 1), 1000 - 0.000001 * turn, past.id,
    farebox_uuid7_time(past.id), '{{"model": "meta-llama/Llama-3.3-70B-Instruct", "total_tokens": 300}}'
FROM past JOIN spender USING (place);
INSERT INTO ai_transactions (user_id, wallet_id, seq, amount, type, balance_before, balance_after)
SELECT user_id, id, 1, 1000, 'bonus', 0, 1000 FROM spender;
ALTER TABLE ai_transactions ADD UNIQUE (wallet_id, seq);
CREATE INDEX ai_transactions_user ON ai_transactions (user_id, created_at DESC);
UPDATE ai_wallets w SET balance = 1000 - 0.000001 * turns, transaction_count = 1 + turns
FROM (SELECT place, count(*) AS turns FROM past GROUP BY 1) spent JOIN spender USING (place)
WHERE w.id = spender.id;
INSERT INTO ai_usage_daily
SELECT user_id, wallet_id, api_key_id, model, (created_at AT TIME ZONE 'UTC')::date,
    count(*), sum(total_tokens), sum(cost), sum(uncollected)
FROM {table} GROUP BY 1, 2, 3, 4, 5;
RESET session_replication_role;
ALTER TABLE ai_usage_logs ATTACH PARTITION {table}
    FOR VALUES FROM ('{month} 00:00:00+00') TO ('{after} 00:00:00+00');
DROP TABLE past, spender;
"""


class Poster:
    """Posts batch after batch, and keeps how long each took."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.took_ms: list[float] = []

    async def run(self, stop: asyncio.Event) -> None:
        wallet = await funded_wallet(self._store)
        while not stop.is_set():
            batch = [settled(wallet, 1) for _ in range(BATCH)]
            begin = perf_counter()
            await self._store.post(batch)
            self.took_ms.append((perf_counter() - begin) * 1000)

    def told(self, of: str) -> str:
        took, self.took_ms = sorted(self.took_ms), []
        return (
            f"a batch of {BATCH} was posted in {statistics.median(took):.0f} ms, 99 of 100 in"
            f" {took[len(took) * 99 // 100]:.0f} ms, all in {took[-1]:.0f} ms: {of}"
        )


class Steps:
    """When each step was first told of."""

    def __init__(self) -> None:
        self.at_s = {"begun": perf_counter()}

    def __call__(self, step: str) -> None:
        self.at_s.setdefault(step, perf_counter())

    def table(self) -> str:
        spans = {
            "closed": ("begun", "closed"),
            "summed up by wallet": ("closed", "summed up"),
            "held against daily sums and debits": ("summed up", "copying"),
            "archived and read back": ("copying", "archived"),
            "dropped": ("archived", "dropped"),
        }
        return "\n".join(f"{name:<38}{self.at_s[to] - self.at_s[of]:>8.2f} s" for name, (of, to) in spans.items())


async def _fill(pool: Pool, rows: int, month: date, after: date) -> str:
    table: str = await pool.fetchval("SELECT farebox_usage_partition($1)", month)
    fill = FILL.format(rows=rows, wallets=WALLETS, table=table, month=month, after=after)
    async with pool.acquire() as connection:
        await connection.execute("SET work_mem = '256MB'")
        await connection.execute(fill)
    await pool.execute("ANALYZE")
    size: str = await pool.fetchval("SELECT pg_size_pretty(pg_total_relation_size($1::regclass))", table)
    return size


async def _retire(pool: Pool, folder: Path, steps: Steps) -> Retired:
    (done,) = await Retention(pool, KEPT_MONTHS, folder, steps).run()
    return done


async def measure(rows: int, folder: Path) -> None:
    async with scratch_database() as pool:
        begin = perf_counter()
        size = await _fill(pool, rows, month_back(KEPT_MONTHS + 1), month_back(KEPT_MONTHS))
        click.echo(f"{rows} requests, {size} with their indexes, made in {perf_counter() - begin:.0f} s")
        stop, tasks, poster = asyncio.Event(), TaskSet(), Poster(Store(pool))
        posting = tasks.spawn(poster.run(stop), name="poster")
        await asyncio.sleep(QUIET_S)
        click.echo(poster.told("nothing beside it"))
        steps = Steps()
        done = await _retire(pool, folder, steps)
        click.echo(poster.told("while the month was archived and dropped"))
        stop.set()
        await posting
        assert done.archive is not None and done.requests == rows
        peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
        click.echo(steps.table())
        click.echo(f"file: {done.archive.size_bytes >> 20} MiB; this process had at most {peak_mib} MiB of memory")
        begin = perf_counter()
        report = await audit(pool)
        assert report.holds, report.broken
        click.echo(f"the audit, of {rows} debits and the sums of what was dropped, took {perf_counter() - begin:.0f} s")


@click.command()
@click.option("--rows", default=10_000_000, show_default=True)
@click.option(
    "--archive", type=click.Path(path_type=Path, exists=True, file_okay=False), help="Left out: a scratch one."
)
def main(rows: int, archive: Path | None) -> None:
    with tempfile.TemporaryDirectory(prefix="farebox-archive-") as scratch:
        asyncio.run(measure(rows, archive or Path(scratch)))


if __name__ == "__main__":
    main()
