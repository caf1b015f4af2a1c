"""`/api/ai-api/admin/users` and `/log`: everybody's accounts, and what administrators did."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, BeforeValidator, Field

from accounts.admin_log import MAX_ACTOR_CHARS, AdminLog, LogFilter, LoggedAct
from accounts.api.admin import BASE
from accounts.api.answers import dollars
from accounts.api.fields import Body, End, Id, Moment, plain_text, text_schema
from accounts.api.history_shapes import LineAnswer, StatisticsAnswer, shown_line, shown_totals
from accounts.api.requests import parse_query
from accounts.api.router import Access, Call, Route
from accounts.api.shapes import Answer, Dollars, NextCursor
from accounts.filters import MAX_LIMIT
from accounts.pages import DEFAULT_LIMIT
from accounts.users import UserKey, UserRow, Users, first_day
from accounts.wallet_view import WalletSummary, WalletView
from ledger.errors import WalletNotFound
from runtime.clock import wall_ms

# Longer than any cursor is.
_MAX_CURSOR_CHARS = 128
_LATEST_ACTS = 10


def _as_text(value: Any) -> Any:
    # a query's text may look like a number, and was read as one then
    return str(value) if type(value) is int else value


Actor = Annotated[
    str,
    BeforeValidator(_as_text),
    Field(min_length=1, max_length=MAX_ACTOR_CHARS),
    AfterValidator(plain_text),
    text_schema(MAX_ACTOR_CHARS),
]


class UsersQuery(Body):
    """`since` is the day (UTC) from which spending counts; left out, 30 days ago."""

    sort: Literal["balance", "spend"] = "spend"
    order: Literal["asc", "desc"] = "desc"
    since: Moment | None = None
    limit: int = Field(default=DEFAULT_LIMIT, ge=1, le=MAX_LIMIT)
    cursor: str | None = Field(default=None, max_length=_MAX_CURSOR_CHARS, description="`nextCursor` of the one before")


class LogQuery(Body):
    """Which acts; what is left out is no bound."""

    actor: Actor | None = None
    action: str | None = Field(default=None, max_length=65, pattern=r"^[a-z_]+\.[a-z_]+$")
    userId: Id | None = None
    startDate: Moment | None = None
    endDate: End | None = None
    limit: int = Field(default=DEFAULT_LIMIT, ge=1, le=MAX_LIMIT)
    cursor: str | None = Field(default=None, max_length=_MAX_CURSOR_CHARS, description="`nextCursor` of the one before")


class UserAnswer(Answer):
    userId: UUID
    walletId: UUID
    balance: Dollars
    overdraft: Dollars
    spent: Annotated[Dollars, Field(description="debited for usage in the period")]
    requests: Annotated[int, Field(description="in the period")]
    lastUsedAt: Annotated[datetime | None, Field(description="the latest use of any key")]
    frozen: bool
    createdAt: datetime


class UsersAnswer(Answer):
    success: bool
    users: list[UserAnswer]
    nextCursor: NextCursor


class UserWalletAnswer(Answer):
    id: UUID
    balance: Dollars
    available: Dollars
    held: Dollars
    overdraft: Dollars
    currency: str
    stripeCustomerId: str | None
    frozen: bool
    createdAt: datetime


class UserKeyAnswer(Answer):
    id: UUID
    keyPrefix: str
    name: str
    active: bool
    frozen: bool
    lastUsedAt: datetime | None
    createdAt: datetime
    expiresAt: datetime | None


class ActAnswer(Answer):
    """`before` and `after` say what changed; money in them is dollars, as decimal text."""

    id: int
    at: datetime
    actor: str
    action: str
    targetKind: str
    targetId: str
    userId: UUID | None
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    reason: str


class UserOverviewAnswer(Answer):
    success: bool
    userId: UUID
    wallet: UserWalletAnswer
    keys: Annotated[list[UserKeyAnswer], Field(description="the latest hundred")]
    transactions: Annotated[list[LineAnswer], Field(description="the latest ten")]
    usageStats: StatisticsAnswer
    log: Annotated[list[ActAnswer], Field(description="the latest ten")]


class LogAnswer(Answer):
    success: bool
    log: list[ActAnswer]
    nextCursor: NextCursor


@dataclass(frozen=True, slots=True)
class AdminViewRoutes:
    users: Users
    view: WalletView
    log: AdminLog

    def routes(self) -> list[Route]:
        admin = Access.ADMIN
        return [
            Route("GET", f"{BASE}/users", admin, self.list_users, "Users by balance, or by what they spent",
                query=UsersQuery, answer=UsersAnswer),
            Route("GET", f"{BASE}/users/{{userId}}", admin, self.show_user, "One user: wallet, keys, usage, and acts",
                answer=UserOverviewAnswer, refusals=(WalletNotFound,)),
            Route("GET", f"{BASE}/log", admin, self.show_log, "What administrators did, newest first",
                query=LogQuery, answer=LogAnswer),
        ]  # fmt: skip

    async def list_users(self, call: Call) -> Any:
        asked = parse_query(UsersQuery, call.request.query)
        since = first_day(asked.since, wall_ms())
        page = await self.users.page(asked.sort, asked.order, since, asked.limit, asked.cursor)
        return {"success": True, "users": [_user(row) for row in page.rows], "nextCursor": page.next_cursor}

    async def show_user(self, call: Call) -> Any:
        user_id = _id_in_path(call.path_value)
        account = await self.users.account(user_id)
        seen = await self.view.overview(user_id)
        acts = await self.log.page(LogFilter(user_id=user_id), _LATEST_ACTS)
        return {
            "success": True,
            "userId": user_id,
            "wallet": _wallet(seen.wallet) | {"frozen": account.is_frozen, "createdAt": account.created_at},
            "keys": [_key(key) for key in account.keys],
            "transactions": [shown_line(line) for line in seen.transactions],
            "usageStats": shown_totals(seen.statistics),
            "log": [_act(act) for act in acts.rows],
        }

    async def show_log(self, call: Call) -> Any:
        asked = parse_query(LogQuery, call.request.query)
        wanted = LogFilter(asked.actor, asked.action, asked.userId, asked.startDate, asked.endDate)
        page = await self.log.page(wanted, asked.limit, asked.cursor)
        return {"success": True, "log": [_act(act) for act in page.rows], "nextCursor": page.next_cursor}


def _id_in_path(text: str) -> UUID:
    """What is no id is nobody's."""
    try:
        user_id = UUID(text)
    except ValueError:
        raise WalletNotFound(text) from None
    if str(user_id) != text.lower():
        raise WalletNotFound(text)
    return user_id


def _user(row: UserRow) -> dict[str, Any]:
    return {
        "userId": row.user_id,
        "walletId": row.wallet_id,
        "balance": dollars(row.balance_nanos),
        "overdraft": dollars(row.overdraft_nanos),
        "spent": dollars(row.spent_nanos),
        "requests": row.requests,
        "lastUsedAt": row.last_used_at,
        "frozen": row.is_frozen,
        "createdAt": row.created_at,
    }


def _wallet(wallet: WalletSummary) -> dict[str, Any]:
    return {
        "id": wallet.id,
        "balance": dollars(wallet.balance_nanos),
        "available": dollars(wallet.available_nanos),
        "held": dollars(wallet.held_nanos),
        "overdraft": dollars(wallet.overdraft_nanos),
        "currency": wallet.currency,
        "stripeCustomerId": wallet.stripe_customer_id,
    }


def _key(key: UserKey) -> dict[str, Any]:
    return {
        "id": key.id,
        "keyPrefix": key.key_prefix,
        "name": key.name,
        "active": key.is_active,
        "frozen": key.is_frozen,
        "lastUsedAt": key.last_used_at,
        "createdAt": key.created_at,
        "expiresAt": key.expires_at,
    }


def _act(logged: LoggedAct) -> dict[str, Any]:
    act = logged.act
    return {
        "id": logged.id,
        "at": logged.at,
        "actor": act.actor,
        "action": act.action,
        "targetKind": act.target_kind,
        "targetId": act.target_id,
        "userId": act.user_id,
        "before": act.before,
        "after": act.after,
        "reason": act.reason,
    }
