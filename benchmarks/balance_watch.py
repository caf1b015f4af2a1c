"""How long a look at the balances takes, with many wallets of which some changed.

    python -m benchmarks.balance_watch [--wallets 100000] [--changed 2000]

Makes a scratch Postgres (fsync off), fills wallets, and prints milliseconds, median and worst: for the first look, at
all of them; for a look with nothing new; and for one after `--changed` wallets moved, a tenth of them to below the
threshold.
"""

import asyncio
from decimal import Decimal

import click

from accounts.notices.watch import BalanceWatch
from benchmarks.usage_statistics import scratch_database, timed
from runtime.clock import monotonic_ms
from runtime.postgres import Pool

THRESHOLD = Decimal(5)
WALLETS = """
INSERT INTO ai_wallets (id, user_id, balance, transaction_count, updated_at)
SELECT u, u, 10, 1, now() - interval '1 day'
FROM (SELECT md5('user ' || i)::uuid AS u FROM generate_series(1, $1) i) users"""
LINES = """
INSERT INTO ai_transactions (user_id, wallet_id, seq, amount, type, balance_before, balance_after)
SELECT id, id, 1, 10, 'bonus', 0, 10 FROM ai_wallets"""
# Up and down again, so that each round has as much to say.
MOVE = """
WITH picked AS (SELECT id, row_number() OVER () AS n FROM ai_wallets TABLESAMPLE BERNOULLI ($1)),
moved AS (
    UPDATE ai_wallets w
    SET balance = CASE WHEN n % 10 = 0 AND w.balance > 5 THEN 1 ELSE 10 END, transaction_count = transaction_count + 1
    FROM picked WHERE picked.id = w.id
    RETURNING w.id, w.user_id, w.transaction_count, w.balance)
INSERT INTO ai_transactions (user_id, wallet_id, seq, amount, type, balance_before, balance_after)
SELECT user_id, id, transaction_count, 1, 'bonus', balance - 1, balance FROM moved"""


async def fill(pool: Pool, wallets: int) -> None:
    # nobody to announce to; and the lines here are as many as they should be, not as large
    for trigger in ("announce_insert", "announce_update", "count_first_line", "write_first_line", "must_have_lines"):
        await pool.execute(f"ALTER TABLE ai_wallets DISABLE TRIGGER {trigger}")
    await pool.execute(WALLETS, wallets)
    await pool.execute(LINES)
    await pool.execute("VACUUM ANALYZE ai_wallets, ai_transactions")


async def measure(wallets: int, changed: int) -> None:
    async with scratch_database() as pool:
        await fill(pool, wallets)
        watch = BalanceWatch(pool, THRESHOLD)
        began = monotonic_ms()
        await watch.look()
        click.echo(f"first look at {wallets} wallets: {monotonic_ms() - began} ms")
        await pool.execute("VACUUM ANALYZE farebox_balance_watch")
        # as after a restart: every wallet, and nothing to say
        click.echo(f"complete look, nothing new: {await timed(lambda: BalanceWatch(pool, THRESHOLD).look())}")
        click.echo(f"look, nothing new: {await timed(watch.look)}")
        await pool.execute(MOVE, 100 * changed / wallets)
        began = monotonic_ms()
        await watch.look()
        told = await pool.fetchval("SELECT count(*) FROM farebox_events")
        click.echo(f"look after {changed} wallets moved: {monotonic_ms() - began} ms, {told} announced")
        click.echo(f"look within the overlap, nothing new: {await timed(watch.look)}")


@click.command()
@click.option("--wallets", default=100_000, show_default=True)
@click.option("--changed", default=2_000, show_default=True)
def main(wallets: int, changed: int) -> None:
    asyncio.run(measure(wallets, changed))


if __name__ == "__main__":
    main()
