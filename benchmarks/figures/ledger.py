"""How fast one ledger process brings events from the Stream into Postgres: against one transaction for each debit, into
one wallet, over many, and where a long history is.

Events are made ready beside the Stream and put in its place at once, when the ledger process has looked through all
wallets, as it does at its start. The time is from its first acknowledgement until the last event is committed and
acknowledged. Meanwhile the stores have the cores of upstream and load too, which have nothing to do.
"""

from dataclasses import dataclass
from time import perf_counter
from typing import Any
from uuid import UUID

from redis.asyncio import Redis

from benchmarks.affinity import moved, pinned
from benchmarks.figure import Alone, Figure, Goal, Values, ratio
from benchmarks.posting_sites import Site, site
from benchmarks.stage import Stage
from ledger.entries import WalletState
from ledger.postgres import Store
from ledger.redis_schema import LEDGER_GROUP, usage_stream, wallet_key
from tests.support.ledger import everything_posted, settled, until
from tests.support.program import Program

ONE_BY_ONE, WRITER = "one transaction per debit", "one writer"
ONE_WALLET, MANY, HISTORY = "one writer, one wallet", "one writer, many wallets", "one writer, a long history"
POSTED = Figure(
    "Debits posted",
    "events/s",
    picture="ledger",
    base=ONE_BY_ONE,
    goals=(Goal(must=15_000, aim=40_000, row=WRITER), ratio(ONE_BY_ONE, must=15, aim=None, row=WRITER)),
    more_is_better=True,
)
SPREAD = Figure(
    "Debits posted into one wallet, over many and with a long history: the fastest ÷ the slowest",
    "times",
    base="",
    goals=(Goal(must=1.5, aim=None, row=WRITER),),
)
SOME_WALLETS = 100
MANY_WALLETS, QUICK_WALLETS = 100_000, 2_000
ROWS_THERE, QUICK_ROWS = 10_000_000, 100_000
EVENTS, QUICK_EVENTS = 100_000, 10_000
DEBITS = 500
AT_ONCE = 1_000
READY = "fb:{0}:made-ready"


async def measure(stage: Stage) -> Values:
    on, pick = stage.ground, stage.size.pick
    wallets, events = pick(MANY_WALLETS, QUICK_WALLETS), pick(EVENTS, QUICK_EVENTS)
    rows = pick(ROWS_THERE, QUICK_ROWS)
    stage.note(f"ledger: {events:,} events; many wallets are {wallets:,}, a long history is {rows:,} requests")
    stage.note("ledger: the stores have all cores but the ledger's")
    with moved(on.stores, on.where.stores | on.where.redis | on.where.upstream | on.where.load):
        async with Redis.from_url(on.redis) as redis, site(on, "posting", wallets) as plain:
            run = Run(stage, redis, events)
            posted = {ONE_BY_ONE: await one_by_one(plain)}
            posted[WRITER] = await run.over(plain, SOME_WALLETS)
            posted[ONE_WALLET] = await run.over(plain, 1)
            posted[MANY] = await run.over(plain, wallets)
            async with site(on, "history", SOME_WALLETS, rows) as old:
                posted[HISTORY] = await run.over(old, SOME_WALLETS)
    compared = [posted[row] for row in (ONE_WALLET, MANY, HISTORY)]
    return {POSTED: posted, SPREAD: {WRITER: max(compared) / min(compared)}}


async def one_by_one(at: Site) -> float:
    """The same statements over one connection, a batch of one, and the next when it is committed."""
    store = Store(at.pool)
    begin = perf_counter()
    for number in range(DEBITS):
        await store.post([settled(at.wallets[number % SOME_WALLETS])])
    return DEBITS / (perf_counter() - begin)


@dataclass(frozen=True)
class Run:
    stage: Stage
    redis: Redis
    events: int

    async def over(self, at: Site, wallets: int) -> float:
        """Events per second, by a new ledger process, over so many of the wallets."""
        before = await at.posted()
        await self._make_ready(at.wallets[:wallets])
        await at.pool.execute("CHECKPOINT")
        program = Program(self.stage.ground.folder, at.database, self.stage.ground.redis)
        program.write_config()
        try:
            with pinned(self.stage.where.server):
                program.start_ledger()
            await self._looked_through(max(wallet.wallet_id for wallet in at.wallets[:wallets]))
            per_s = await self._race()
        finally:
            await program.stop()
        if (posted := await at.posted() - before) != self.events:
            raise RuntimeError(f"{posted} of {self.events} events were posted")
        return per_s

    async def _race(self) -> float:
        stream = usage_stream(0)
        await self.redis.rename(READY, stream)
        while (left := await self.redis.xlen(stream)) == self.events:
            pass
        begin = perf_counter()
        await everything_posted(self.redis)
        return left / (perf_counter() - begin)

    async def _make_ready(self, wallets: list[WalletState]) -> None:
        """What admission leaves in Redis, older than what Postgres has, and what settlement leaves."""
        fields: dict[Any, Any] = {"balance": 0, "overdraft": 0, "version": 0, "held": 0, "unposted": 0}
        for first in range(0, len(wallets), AT_ONCE):
            pipeline = self.redis.pipeline(transaction=False)
            for wallet in wallets[first : first + AT_ONCE]:
                pipeline.hset(wallet_key(0, wallet.wallet_id), mapping=fields)
            await pipeline.execute()
        await self.redis.xgroup_create(READY, LEDGER_GROUP, id="0", mkstream=True)
        for first in range(0, self.events, AT_ONCE):
            pipeline = self.redis.pipeline(transaction=False)
            for number in range(first, min(first + AT_ONCE, self.events)):
                entry = settled(wallets[number % len(wallets)])
                pipeline.hincrby(wallet_key(0, entry.entry.wallet_id), "unposted", entry.charge_nanos)
                pipeline.xadd(READY, {"entry": entry.entry.to_json(), "charge": str(entry.charge_nanos)})
            await pipeline.execute()

    async def _looked_through(self, last: UUID) -> None:
        """Wallets are looked through in the order of their ids."""

        async def is_newer() -> bool:
            return await self.redis.hget(wallet_key(0, last), "version") != b"0"

        await until(is_newer)


MEASUREMENT = Alone("ledger", (POSTED, SPREAD), measure)
