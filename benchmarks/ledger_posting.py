"""How fast one ledger process brings events from the Stream into Postgres: against one transaction per debit, into one
wallet, over many, and with a long history.

Events are made ready beside the Stream and put in its place at once, when the ledger process has looked through all
wallets, as it does at its start. The time ends when the last event is committed and acknowledged.
"""

from pathlib import Path
from time import perf_counter
from typing import Any
from uuid import UUID

from redis.asyncio import Redis

from benchmarks.affinity import Plan, pinned
from ledger.entries import WalletState
from ledger.postgres import Store
from ledger.redis_schema import LEDGER_GROUP, usage_stream, wallet_key
from runtime.postgres import Pool, create_pool
from tests.support.ledger import everything_posted, settled, until
from tests.support.program import Program

SOME_WALLETS = 100
MANY_WALLETS = 100_000
# Whose history there is: more of them take ten times as long to write, as each has places of its own in the indexes.
PAST_WALLETS = 1_000
ROWS_THERE = 10_000_000
ONE_BY_ONE = 500
AT_ONCE = 1_000
QUERY_TIMEOUT_S = 3600.0
READY = "fb:{0}:made-ready"

MAKE_WALLETS = "INSERT INTO ai_wallets (user_id, balance) SELECT gen_random_uuid(), 1000 FROM generate_series(1, $1)"
# Without triggers, which takes a third of the time: what they would check and sum up is written here. A request of each
# wallet in turn, from the beginning of the month to now.
HISTORY = """
SET session_replication_role = replica;
CREATE TEMPORARY TABLE spender AS
SELECT id, user_id, balance, transaction_count, row_number() OVER () - 1 AS place FROM ai_wallets LIMIT {wallets};
CREATE UNIQUE INDEX ON spender (place);
CREATE TEMPORARY TABLE past AS
SELECT (lpad(to_hex(ms), 12, '0') || '7' || substr(noise, 1, 3) || '8' || substr(noise, 4, 15))::uuid AS id,
    n / {wallets} + 1 AS turn, n % {wallets} AS place
FROM (
    SELECT n, md5(n::text) AS noise, (1000 * extract(epoch FROM month + (now() - month) * n / {rows}))::bigint AS ms
    FROM generate_series(0, {rows} - 1) AS n, date_trunc('month', now()) AS month
) made;
INSERT INTO ai_usage_logs (id, user_id, wallet_id, api_key_id, model, endpoint, output_tokens, total_tokens, cost,
    usage_source, status_code, response_time_ms, created_at)
SELECT past.id, user_id, spender.id, user_id, 'tiny', '/v1/chat/completions', 20, 20, 0.000001, 'reported', 200, 12,
    farebox_uuid7_time(past.id)
FROM past JOIN spender USING (place);
INSERT INTO ai_transactions (
    id, user_id, wallet_id, seq, amount, type, balance_before, balance_after, request_id, metadata)
SELECT past.id, user_id, spender.id, transaction_count + turn, -0.000001, 'usage',
    balance - 0.000001 * (turn - 1), balance - 0.000001 * turn, past.id, '{{"model": "tiny", "total_tokens": 20}}'
FROM past JOIN spender USING (place);
UPDATE ai_wallets w SET balance = w.balance - 0.000001 * turns, transaction_count = w.transaction_count + turns
FROM (SELECT spender.id, count(*) AS turns FROM past JOIN spender USING (place) GROUP BY 1) spent
WHERE w.id = spent.id;
INSERT INTO ai_usage_daily
SELECT user_id, wallet_id, api_key_id, model, (created_at AT TIME ZONE 'UTC')::date,
    count(*), sum(total_tokens), sum(cost), sum(uncollected)
FROM ai_usage_logs WHERE api_key_id = user_id GROUP BY 1, 2, 3, 4, 5;
DROP TABLE past, spender;
RESET session_replication_role;
"""


async def ledger_figures(
    database: str, redis_url: str, folder: Path, where: Plan, events: int, rows_there: int = ROWS_THERE
) -> dict[str, float]:
    """Events per second, by where they go; the history of `rows_there` requests is made last."""
    pool, redis = await create_pool(database, command_timeout_s=QUERY_TIMEOUT_S), Redis.from_url(redis_url)
    race = Race(database, redis_url, redis, pool, folder, where)
    try:
        many = await _wallets(pool, MANY_WALLETS)
        some = many[:SOME_WALLETS]
        figures = {
            "one transaction per debit": await _one_by_one(Store(pool), some),
            "one writer": await race.run(some, events),
            "one writer, one wallet": await race.run(many[:1], events),
            f"one writer, {MANY_WALLETS:,} wallets": await race.run(many, events),
        }
        await pool.execute(HISTORY.format(rows=rows_there, wallets=PAST_WALLETS))
        await pool.execute("VACUUM (ANALYZE) ai_usage_logs, ai_transactions, ai_wallets, ai_usage_daily")
        figures[f"one writer, {rows_there:,} requests there"] = await race.run(some, events)
        return figures
    finally:
        await redis.aclose()
        await pool.close()


class Race:
    """Starts a ledger process for each run."""

    def __init__(self, database: str, redis_url: str, redis: Redis, pool: Pool, folder: Path, where: Plan) -> None:
        self._database = database
        self._redis_url = redis_url
        self._redis = redis
        self._pool = pool
        self._folder = folder
        self._where = where

    async def run(self, wallets: list[WalletState], events: int) -> float:
        posted = await self._posted()
        await self._make_ready(wallets, events)
        await self._pool.execute("CHECKPOINT")
        program = Program(self._folder, self._database, self._redis_url)
        program.write_config()
        try:
            with pinned(self._where.server):
                program.start_ledger()
            await self._looked_through(max(wallet.wallet_id for wallet in wallets))
            begin = perf_counter()
            await self._redis.rename(READY, usage_stream(0))
            await everything_posted(self._redis)
            took_s = perf_counter() - begin
        finally:
            await program.stop()
        if (posted := await self._posted() - posted) != events:
            raise AssertionError(f"{posted} of {events} events were posted")
        return events / took_s

    async def _posted(self) -> int:
        found: int = await self._pool.fetchval("SELECT coalesce(sum(requests), 0)::bigint FROM ai_usage_daily")
        return found

    async def _make_ready(self, wallets: list[WalletState], events: int) -> None:
        """What admission leaves in Redis, older than what Postgres has, and what settlement leaves."""
        fields: dict[Any, Any] = {"balance": 0, "overdraft": 0, "version": 0, "held": 0, "unposted": 0}
        for first in range(0, len(wallets), AT_ONCE):
            pipeline = self._redis.pipeline(transaction=False)
            for wallet in wallets[first : first + AT_ONCE]:
                pipeline.hset(wallet_key(0, wallet.wallet_id), mapping=fields)
            await pipeline.execute()
        await self._redis.xgroup_create(READY, LEDGER_GROUP, id="0", mkstream=True)
        for first in range(0, events, AT_ONCE):
            pipeline = self._redis.pipeline(transaction=False)
            for number in range(first, min(first + AT_ONCE, events)):
                entry = settled(wallets[number % len(wallets)])
                pipeline.hincrby(wallet_key(0, entry.entry.wallet_id), "unposted", entry.charge_nanos)
                pipeline.xadd(READY, {"entry": entry.entry.to_json(), "charge": str(entry.charge_nanos)})
            await pipeline.execute()

    async def _looked_through(self, last: UUID) -> None:
        """Wallets are looked through in the order of their ids."""

        async def is_newer() -> bool:
            return await self._redis.hget(wallet_key(0, last), "version") != b"0"

        await until(is_newer)


async def _wallets(pool: Pool, count: int) -> list[WalletState]:
    await pool.execute(MAKE_WALLETS, count)
    rows = await pool.fetch("SELECT id, user_id FROM ai_wallets WHERE balance = 1000 LIMIT $1", count)
    await pool.execute("VACUUM (ANALYZE) ai_wallets")
    return [WalletState(row["id"], row["user_id"], 0, 0, 0) for row in rows]


async def _one_by_one(store: Store, wallets: list[WalletState]) -> float:
    """The same statement over the same connection, a batch of one, and the next when it is committed."""
    begin = perf_counter()
    for number in range(ONE_BY_ONE):
        await store.post([settled(wallets[number % len(wallets)])])
    return ONE_BY_ONE / (perf_counter() - begin)
