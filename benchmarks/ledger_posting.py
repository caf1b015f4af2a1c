"""How fast one ledger process brings events from the Stream into Postgres, against one transaction per debit."""

from pathlib import Path
from time import perf_counter

from redis.asyncio import Redis

from benchmarks.affinity import Plan, pinned
from ledger.entries import WalletState
from ledger.postgres import Store
from ledger.redis_schema import usage_stream, wallet_key
from runtime.postgres import create_pool
from tests.support.ledger import everything_posted, funded_wallet, settled
from tests.support.program import Program

WALLETS = 100
ONE_BY_ONE = 500
AT_ONCE = 1_000


async def ledger_figures(database: str, redis_url: str, folder: Path, where: Plan, events: int) -> dict[str, float]:
    """Events per second, by how they are posted; the time of one ledger process begins with its first commit."""
    pool, redis = await create_pool(database), Redis.from_url(redis_url)
    try:
        store = Store(pool)
        wallets = [await funded_wallet(store) for _ in range(WALLETS)]
        begin = perf_counter()
        for number in range(ONE_BY_ONE):
            await store.post([settled(wallets[number % WALLETS])])
        alone = ONE_BY_ONE / (perf_counter() - begin)
        await _fill(redis, wallets, events)
        program = Program(folder, database, redis_url)
        program.write_config()
        try:
            with pinned(where.server):
                program.start_ledger()
            while (left := await redis.xlen(usage_stream(0))) == events:
                pass
            begin = perf_counter()
            await everything_posted(redis)
            together = left / (perf_counter() - begin)
        finally:
            await program.stop()
        return {"one writer": together, "one transaction per debit": alone}
    finally:
        await redis.aclose()
        await pool.close()


async def _fill(redis: Redis, wallets: list[WalletState], events: int) -> None:
    """Leaves in Redis what settlement leaves."""
    for first in range(0, events, AT_ONCE):
        pipeline = redis.pipeline(transaction=False)
        for number in range(first, min(first + AT_ONCE, events)):
            entry = settled(wallets[number % WALLETS])
            pipeline.hincrby(wallet_key(0, entry.entry.wallet_id), "unposted", entry.charge_nanos)
            pipeline.xadd(usage_stream(0), {"entry": entry.entry.to_json(), "charge": str(entry.charge_nanos)})
        await pipeline.execute()
