"""What a user sees of their wallet: what is in it, what of that is free, its latest lines, what was used.

Postgres says what is in the wallet. Redis says what running requests hold and what is not posted yet, and so what the
next request may spend; a wallet that Redis does not know has neither.
"""

from dataclasses import dataclass
from typing import Any, cast
from uuid import UUID

from redis.asyncio import Redis

from accounts.as_user import as_user
from accounts.filters import Filter, check_limit, check_offset
from accounts.statistics import UsageStatistics, read_statistics
from accounts.transactions import PAGED, QUERIES, TransactionRow
from ledger.money import from_decimal
from ledger.postgres import Store
from ledger.redis_schema import shard_of, wallet_key

LATEST_LINES = 10
_FIELDS = ("balance", "overdraft", "held", "unposted")
NO_FILTER = Filter()


@dataclass(frozen=True, slots=True)
class WalletSummary:
    """`available_nanos` is what the next request may spend: of the balance and the overdraft, what is not held."""

    id: UUID
    balance_nanos: int
    overdraft_nanos: int
    currency: str
    stripe_customer_id: str | None
    held_nanos: int
    available_nanos: int


@dataclass(frozen=True, slots=True)
class WalletOverview:
    wallet: WalletSummary
    transactions: tuple[TransactionRow, ...]
    statistics: UsageStatistics


@dataclass(frozen=True, slots=True)
class Funds:
    held_nanos: int
    available_nanos: int


def funds(balance_nanos: int, overdraft_nanos: int, in_redis: list[bytes | None]) -> Funds:
    """What is held and what is free, from Postgres' balance and overdraft and the wallet's _FIELDS in Redis.

    Balance and unposted charges are taken from one place: a charge leaves the one as it is taken off the other, and
    seen in both it would count twice.
    """
    balance, overdraft, held, unposted = (None if field is None else int(field) for field in in_redis)
    if balance is None or overdraft is None:
        balance, overdraft = balance_nanos, overdraft_nanos
    return Funds(held or 0, balance + overdraft - (held or 0) - (unposted or 0))


class WalletView:
    """Raises InvalidRequest, runtime.postgres.UNAVAILABLE or redis.RedisError."""

    def __init__(self, store: Store, redis: Redis, shards: int = 1) -> None:
        self._store = store
        self._redis = redis
        self._shards = shards

    async def overview(
        self, user_id: UUID, wanted: Filter = NO_FILTER, *, limit: int = LATEST_LINES, offset: int = 0
    ) -> WalletOverview:
        """The wallet, made if there is none; the filter is for its lines and for what was used."""
        check_limit(limit)
        check_offset(offset)
        await self._store.ensure_wallet(user_id)
        async with as_user(self._store.pool, user_id, snapshot=True) as connection:
            row = await connection.fetchrow(QUERIES["wallet"], user_id)
            lines = await PAGED.read(connection, user_id, wanted, limit, offset=offset)
            used = await read_statistics(connection, user_id, wanted)
        return WalletOverview(await self._summary(row), tuple(lines), used)

    async def _summary(self, row: Any) -> WalletSummary:
        balance, overdraft = from_decimal(row["balance"]), from_decimal(row["overdraft"])
        name = wallet_key(shard_of(row["id"], self._shards), row["id"])
        found = funds(balance, overdraft, cast(Any, await self._redis.hmget(name, list(_FIELDS))))
        return WalletSummary(
            id=row["id"],
            balance_nanos=balance,
            overdraft_nanos=overdraft,
            currency=row["currency"],
            stripe_customer_id=row["stripe_customer_id"],
            held_nanos=found.held_nanos,
            available_nanos=found.available_nanos,
        )
