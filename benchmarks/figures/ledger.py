"""How fast one ledger process brings events from the Stream into Postgres, against one transaction per debit."""

from time import perf_counter

from redis.asyncio import Redis

from benchmarks.affinity import pinned
from benchmarks.figure import Alone, Figure, Goal, Values, ratio
from benchmarks.stack import Ground
from benchmarks.stage import Stage
from ledger.entries import WalletState
from ledger.postgres import Store
from ledger.redis_schema import usage_stream, wallet_key
from runtime.postgres import create_pool
from tests.support.ledger import everything_posted, funded_wallet, settled
from tests.support.program import Program

WRITER, ONE_BY_ONE = "one writer", "one transaction per debit"
POSTED = Figure(
    "Debits posted",
    "events/s",
    picture="ledger",
    base=ONE_BY_ONE,
    goals=(Goal(must=15_000, aim=40_000, row=WRITER), ratio(ONE_BY_ONE, must=15, aim=None, row=WRITER)),
    more_is_better=True,
)
WALLETS = 100
DEBITS = 500
EVENTS, QUICK_EVENTS = 50_000, 5_000
AT_ONCE = 1_000


async def measure(stage: Stage) -> Values:
    on = stage.ground
    pool, redis = await create_pool(on.database), Redis.from_url(on.redis)
    try:
        store = Store(pool)
        wallets = [await funded_wallet(store) for _ in range(WALLETS)]
        alone = await one_by_one(store, wallets)
        await fill(redis, wallets, events := stage.size.pick(EVENTS, QUICK_EVENTS))
        return {POSTED: {WRITER: await one_writer(on, redis, events), ONE_BY_ONE: alone}}
    finally:
        await redis.aclose()
        await pool.close()


async def one_by_one(store: Store, wallets: list[WalletState]) -> float:
    begin = perf_counter()
    for number in range(DEBITS):
        await store.post([settled(wallets[number % WALLETS])])
    return DEBITS / (perf_counter() - begin)


async def one_writer(on: Ground, redis: Redis, events: int) -> float:
    """A new ledger process; its time begins with its first commit."""
    program = Program(on.folder, on.database, on.redis)
    program.write_config()
    try:
        with pinned(on.where.server):
            program.start_ledger()
        while (left := await redis.xlen(usage_stream(0))) == events:
            pass
        begin = perf_counter()
        await everything_posted(redis)
        return left / (perf_counter() - begin)
    finally:
        await program.stop()


async def fill(redis: Redis, wallets: list[WalletState], events: int) -> None:
    """Leaves in Redis what settlement leaves."""
    for first in range(0, events, AT_ONCE):
        pipeline = redis.pipeline(transaction=False)
        for number in range(first, min(first + AT_ONCE, events)):
            entry = settled(wallets[number % WALLETS])
            pipeline.hincrby(wallet_key(0, entry.entry.wallet_id), "unposted", entry.charge_nanos)
            pipeline.xadd(usage_stream(0), {"entry": entry.entry.to_json(), "charge": str(entry.charge_nanos)})
        await pipeline.execute()


MEASUREMENT = Alone("ledger", (POSTED,), measure)
