"""The office beside a running program: makes customers as an operator would, and reads the books afterwards.

Prices are odd numbers on purpose: a float, a rounding in the wrong place or a token too many shows in the last digit.
"""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import asyncpg
from redis.asyncio import Redis

from accounts.key_format import KeyFormat
from accounts.keys import Keys, NewKey
from accounts.wallets import Wallets
from ledger.audit import audit
from ledger.balances import StateMirror
from ledger.lives import accept_losses
from ledger.postgres import Store
from ledger.redis_schema import holds_key, shard_of, usage_stream, wallet_key
from ledger.redis_store import RedisStore
from runtime.postgres import Pool, create_pool
from runtime.redis_cluster import primaries_of
from tests.support.ledger import USD, left_on_stream, until
from tests.support.program import GONE, IMPATIENT, MISTRUSTED, OUTPUT_ONLY, TINY, Program

BCRYPT_COST = 4


@dataclass(frozen=True)
class Rate:
    """Nano-dollars per 1,000 tokens, and per request."""

    input: int
    output: int
    fee: int = 0

    def cost(self, prompt_tokens: int, completion_tokens: int) -> int:
        """Written out a second time, on purpose: the tests must not ask the product what is right."""
        thousandths = prompt_tokens * self.input + completion_tokens * self.output
        return self.fee + int((Decimal(thousandths) / 1000).quantize(Decimal(1), rounding="ROUND_HALF_UP"))


_ODD = Rate(1_234_567, 2_345_679, fee=13)
RATES = {TINY: _ODD, IMPATIENT: _ODD, GONE: _ODD, MISTRUSTED: _ODD, OUTPUT_ONLY: Rate(0, 1_000_000)}
_INSERT_PRICE = """
INSERT INTO ai_pricing (model, input_price_per_1k_tokens, output_price_per_1k_tokens, base_request_fee, effective_from)
VALUES ($1, $2, $3, $4, now() - interval '1 day')"""


@dataclass(frozen=True)
class Customer:
    user_id: UUID
    wallet_id: UUID
    key_id: UUID
    key: str
    start_nanos: int

    @property
    def auth(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.key}"}


async def set_prices(database_url: str) -> None:
    """Before the program starts: it reads them once a second."""
    connection = await asyncpg.connect(database_url)
    try:
        for model, rate in RATES.items():
            dollars = [Decimal(nanos) / USD for nanos in (rate.input, rate.output, rate.fee)]
            await connection.execute(_INSERT_PRICE, model, *dollars)
    finally:
        await connection.close()


class Office:
    def __init__(self, pool: Pool, redis: Redis, database_url: str, shards: int = 1) -> None:
        self.pool = pool
        self.redis = redis
        self.shards = shards
        self.store = Store(pool)
        mirror = StateMirror(RedisStore(redis, shards), self.store, database_url)
        self.keys = Keys(pool, mirror, KeyFormat(), BCRYPT_COST)
        self.wallets = Wallets(self.store, mirror)

    async def customer(
        self,
        start_nanos: int = 10 * USD,
        *,
        rpm: int = 100_000,
        rpd: int = 1_000_000,
        expires_at: datetime | None = None,
        user_id: UUID | None = None,
    ) -> Customer:
        """A new user, or the one named, with that much money and a key."""
        user_id = user_id or uuid4()
        if start_nanos:
            await self.wallets.give_bonus(user_id, start_nanos, "to start with", "a test")
        wallet = await self.store.ensure_wallet(user_id)
        key, row = await self.keys.create(NewKey(user_id, "of a test", rpm, rpd, expires_at))
        return Customer(user_id, wallet.wallet_id, row.id, key, start_nanos)

    async def balance_nanos(self, customer: Customer) -> int:
        (wallet,) = await self.store.wallet_states([customer.wallet_id])
        return wallet.balance_nanos

    async def usage(self, request_id: str) -> dict[str, Any]:
        """The usage row of a request, waited for; money in nano-dollars."""
        found: list[asyncpg.Record] = []

        async def is_there() -> bool:
            found[:] = await self.pool.fetch("SELECT * FROM ai_usage_logs WHERE id = $1", UUID(request_id))
            return bool(found)

        await until(is_there)
        return usage_row(found[0])

    async def usage_rows(self, customer: Customer) -> list[dict[str, Any]]:
        found = await self.pool.fetch(
            "SELECT * FROM ai_usage_logs WHERE wallet_id = $1 ORDER BY id", customer.wallet_id
        )
        return [usage_row(row) for row in found]

    async def only_usage(self, customer: Customer) -> dict[str, Any]:
        """The row of the one request that this customer made, waited for."""

        async def is_there() -> bool:
            return bool(await self.usage_rows(customer))

        await until(is_there)
        (row,) = await self.usage_rows(customer)
        return row

    async def debits(self, customer: Customer) -> dict[str, int]:
        """Request id -> nano-dollars taken."""
        found = await self.pool.fetch(
            "SELECT coalesce(request_id, corrects) AS request_id, sum(amount) AS amount FROM ai_transactions"
            " WHERE wallet_id = $1 AND type = 'usage' GROUP BY 1",
            customer.wallet_id,
        )
        return {str(row["request_id"]): -nanos(row["amount"]) for row in found}

    async def untouched(self, customer: Customer) -> bool:
        """Nothing was taken from this customer, held or noted."""
        rows = await self.usage_rows(customer)
        cached = await self.cached(customer)
        return not rows and await self.balance_nanos(customer) == customer.start_nanos and not any(cached.values())

    async def cached(self, customer: Customer) -> dict[str, int]:
        """What Redis says is held and unposted of this customer's money."""
        held, unposted = await self.redis.hmget(self._wallet(customer), ["held", "unposted"])
        return {"held": int(held or 0), "unposted": int(unposted or 0)}

    async def available_nanos(self, customer: Customer) -> int:
        """What Redis would let this customer spend."""
        found = await self.redis.hmget(self._wallet(customer), ["balance", "overdraft", "held", "unposted"])
        balance, overdraft, held, unposted = (int(value or 0) for value in found)
        return balance + overdraft - held - unposted

    def shard(self, customer: Customer) -> int:
        return shard_of(customer.wallet_id, self.shards)

    def _wallet(self, customer: Customer) -> str:
        return wallet_key(self.shard(customer), customer.wallet_id)

    async def settled(self) -> None:
        """Waits until nothing is held, and all that was settled is posted; then looks whether the books hold.

        What a proxy sends again, after Redis came back as another run, comes and goes meanwhile.
        """
        try:
            await until(self._is_quiet)
        except TimeoutError:
            raise AssertionError(f"not quiet; held or unposted: {await self._open_wallets()}") from None
        report = await audit(self.pool)
        assert report.holds, report.violations

    async def accept_losses(self) -> int:
        """How many times Redis was found empty that nobody knew of yet."""
        async with self.pool.acquire() as connection:
            return await accept_losses(connection)

    async def _is_quiet(self) -> bool:
        are_quiet = all([await self._is_quiet_in(shard) for shard in range(self.shards)])
        return are_quiet and not await self._open_wallets()

    async def _is_quiet_in(self, shard: int) -> bool:
        if await self.redis.hlen(holds_key(shard)):
            return False
        # a stream that was never written to is not there before the ledger asks for it
        return not await self.redis.exists(usage_stream(shard)) or await left_on_stream(self.redis, shard) == (0, 0)

    async def _open_wallets(self) -> list[bytes]:
        found = []
        for node in await primaries_of(self.redis):
            async for name in node.scan_iter("fb:*:wallet:*"):
                held, unposted = await node.hmget(name, ["held", "unposted"])
                if (int(held or 0), int(unposted or 0)) != (0, 0):
                    found.append(name)
        return found


def nanos(dollars: Decimal) -> int:
    exact = dollars * USD
    assert exact == int(exact), dollars
    return int(exact)


def usage_row(record: asyncpg.Record) -> dict[str, Any]:
    row = dict(record)
    return row | {
        "cost": nanos(row["cost"]),
        "uncollected": nanos(row["uncollected"]),
        "metadata": json.loads(row["metadata"]),
    }


@asynccontextmanager
async def open_office(program: Program) -> AsyncIterator[Office]:
    async with open_books(program.database_url, program.connect_redis(), program.shards) as office:
        yield office


@asynccontextmanager
async def open_books(database_url: str, redis: Redis, shards: int = 1) -> AsyncIterator[Office]:
    """Over servers of somebody else's; `redis` is closed with it."""
    pool = await create_pool(database_url)
    try:
        yield Office(pool, redis, database_url, shards)
    finally:
        await redis.aclose()
        await pool.close()


async def eventually(ask: Callable[[], Awaitable[object]], wanted: object) -> None:
    """Waits until `ask` answers `wanted`."""

    async def is_so() -> bool:
        return await ask() == wanted

    await until(is_so)
