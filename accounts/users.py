"""Everybody's accounts, as an administrator sees them: who has most, who spends most, and one of them in full."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Literal
from uuid import UUID

from accounts.as_admin import ANSWER_TIMEOUT_S, as_admin
from accounts.cursors import Listing, Rank, decode_rank, encode_rank
from accounts.filters import Filter, check_limit
from accounts.pages import DEFAULT_LIMIT, Page
from ledger.errors import WalletNotFound
from ledger.money import from_decimal, to_decimal
from runtime.postgres import Pool
from runtime.sql import load_queries

_QUERIES = load_queries("accounts", "sql/users.sql")

SortBy = Literal["balance", "spend"]
Order = Literal["asc", "desc"]
# Without `since`, spending is that of so many days and of today.
DEFAULT_PERIOD = timedelta(days=30)
KEYS_SHOWN = 100


@dataclass(frozen=True, slots=True)
class UserRow:
    """Nano-dollars. `spent_nanos` and `requests` are those of the period, `last_used_at` is any key's latest use."""

    user_id: UUID
    wallet_id: UUID
    balance_nanos: int
    overdraft_nanos: int
    is_frozen: bool
    created_at: datetime
    spent_nanos: int
    requests: int
    last_used_at: datetime | None


@dataclass(frozen=True, slots=True)
class UserKey:
    """A key without its hash."""

    id: UUID
    key_prefix: str
    name: str
    is_active: bool
    is_frozen: bool
    last_used_at: datetime | None
    created_at: datetime
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class UserAccount:
    """What of a user's account the user's own view does not show. `keys` are the latest, newest first."""

    is_frozen: bool
    created_at: datetime
    keys: tuple[UserKey, ...]


@dataclass(frozen=True, slots=True)
class _Sort:
    listing: Listing
    query: str
    amount: Callable[[UserRow], int]


_SORTS: dict[SortBy, _Sort] = {
    "balance": _Sort(Listing.USERS_BY_BALANCE, _QUERIES["by_balance"], lambda user: user.balance_nanos),
    "spend": _Sort(Listing.USERS_BY_SPEND, _QUERIES["by_spend"], lambda user: user.spent_nanos),
}


class Users:
    """Raises InvalidRequest for bad input, runtime.postgres.UNAVAILABLE while Postgres is away or too slow."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def page(
        self,
        sort: SortBy,
        order: Order,
        since: date,
        limit: int = DEFAULT_LIMIT,
        cursor: str | None = None,
    ) -> Page[UserRow]:
        """By balance, or by what was spent since the beginning of a day (UTC).

        Balances move while somebody turns pages: a user may then be on two of them, or on none.
        """
        check_limit(limit)
        by = _SORTS[sort]
        sign = 1 if order == "asc" else -1
        after = None if cursor is None else decode_rank(by.listing, cursor)
        place = (None, None) if after is None else (to_decimal(after.nanos), after.user_id)
        async with as_admin(self._pool) as connection:  # one more than asked for tells whether there are more
            found = await connection.fetch(by.query, since, sign, *place, limit + 1, timeout=ANSWER_TIMEOUT_S)
        shown = tuple(_user_row(row) for row in found[:limit])
        if len(found) <= limit:
            return Page(shown, None)
        return Page(shown, encode_rank(by.listing, Rank(by.amount(shown[-1]) * sign, shown[-1].user_id)))

    async def account(self, user_id: UUID) -> UserAccount:
        """Raises WalletNotFound for who has no wallet."""
        async with as_admin(self._pool) as connection:
            wallet = await connection.fetchrow(_QUERIES["wallet"], user_id)
            if wallet is None:
                raise WalletNotFound(str(user_id))
            keys = await connection.fetch(_QUERIES["keys"], user_id, KEYS_SHOWN)
        return UserAccount(wallet["is_frozen"], wallet["created_at"], tuple(UserKey(**dict(key)) for key in keys))


def first_day(since: datetime | None, now_ms: int) -> date:
    """The day (UTC) from which spending counts: the one that `since` falls on. Raises InvalidRequest."""
    if since is None:
        return (datetime.fromtimestamp(now_ms / 1000, UTC) - DEFAULT_PERIOD).date()
    Filter(since)  # which checks it
    return since.astimezone(UTC).date()


def _user_row(row: Any) -> UserRow:
    return UserRow(
        user_id=row["user_id"],
        wallet_id=row["id"],
        balance_nanos=from_decimal(row["balance"]),
        overdraft_nanos=from_decimal(row["overdraft"]),
        is_frozen=row["is_frozen"],
        created_at=row["created_at"],
        spent_nanos=from_decimal(row["spent"]),
        requests=row["requests"],
        last_used_at=row["last_used_at"],
    )
