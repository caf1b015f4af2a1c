"""How long an administrator waits for a page of users, with many wallets and the daily sums of many requests.

    python -m benchmarks.user_list [--wallets 100000] [--requests 10000000]

Makes a scratch Postgres (fsync off; some three gigabytes), fills wallets, keys and daily sums as if each request had
fallen on its own user and day, the worst that so many requests can be, and prints milliseconds: median and worst.
"""

import asyncio
from datetime import UTC, datetime, timedelta
from functools import partial

import click

from accounts.users import SortBy, Users
from benchmarks.usage_statistics import scratch_database, timed
from runtime.clock import monotonic_ms, wall_ms
from runtime.postgres import Pool

PERIOD_DAYS = 330
# Balances and spending are spread over four orders of magnitude.
WALLETS = """
INSERT INTO ai_wallets (id, user_id, balance)
SELECT u, u, round((10 ^ (random() * 4 - 1))::numeric, 9)
FROM (SELECT md5('user ' || i)::uuid AS u FROM generate_series(1, $1) i) users"""
KEYS = """
INSERT INTO ai_api_keys (id, user_id, key_prefix, key_hash, name, last_used_at)
SELECT user_id, user_id, 'pp_live-' || left(user_id::text, 7), '-', 'a key', now() - random() * interval '100 days'
FROM ai_wallets"""
# Day by day, as they are written when requests are posted.
SUMS = """
INSERT INTO ai_usage_daily (user_id, wallet_id, api_key_id, model, day, requests, total_tokens, cost, uncollected)
SELECT user_id, user_id, user_id, 'model-1', $1::date, 1 + n / 50, 500, 0.0125 * (1 + n / 50) + 0.000000001 * n, 0
FROM (SELECT user_id, (random() * 100)::int AS n FROM ai_wallets WHERE random() <= $2::float8) requests"""


async def fill(pool: Pool, wallets: int, requests: int) -> None:
    await pool.execute("ALTER TABLE ai_wallets DISABLE TRIGGER USER")  # a hundred thousand announcements to nobody
    await pool.execute("ALTER TABLE ai_api_keys DISABLE TRIGGER USER")
    await pool.execute(WALLETS, wallets)
    await pool.execute(KEYS)
    today = datetime.fromtimestamp(wall_ms() / 1000, UTC).date()
    share = requests / PERIOD_DAYS / wallets
    for back in range(PERIOD_DAYS, 0, -1):
        await pool.execute(SUMS, today - timedelta(days=back), share)
    await pool.execute("VACUUM ANALYZE")


async def measure(wallets: int, requests: int) -> None:
    async with scratch_database() as pool:
        start_ms = monotonic_ms()
        await fill(pool, wallets, requests)
        sums = await pool.fetchval("SELECT count(*) FROM ai_usage_daily")
        seconds = (monotonic_ms() - start_ms) // 1000
        click.echo(f"{wallets} wallets, {sums} daily sums, made in {seconds} s\n{'':<42}{'median':>8} {'worst':>8}  ms")
        users = Users(pool)
        today = datetime.fromtimestamp(wall_ms() / 1000, UTC).date()
        sorts: tuple[SortBy, ...] = ("balance", "spend")
        for sort in sorts:
            for days in (1, 31, PERIOD_DAYS):
                since = today - timedelta(days=days)
                first = await users.page(sort, "desc", since, 100)
                click.echo(
                    f"{f'by {sort}, {days} days':<42}{await timed(partial(users.page, sort, 'desc', since, 100))}"
                )
                later = partial(users.page, sort, "desc", since, 100, first.next_cursor)
                click.echo(f"{f'by {sort}, {days} days, second page':<42}{await timed(later)}")


@click.command()
@click.option("--wallets", default=100_000, show_default=True)
@click.option("--requests", default=10_000_000, show_default=True)
def main(wallets: int, requests: int) -> None:
    asyncio.run(measure(wallets, requests))


if __name__ == "__main__":
    main()
