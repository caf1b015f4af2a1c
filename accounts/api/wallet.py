"""`/api/ai-api/wallet`: what is in a user's wallet, its latest lines, what was used."""

from dataclasses import dataclass
from typing import Annotated, Any
from uuid import UUID

from pydantic import Field

from accounts.api.answers import dollars
from accounts.api.history_shapes import LineAnswer, PeriodQuery, StatisticsAnswer, shown_line, shown_totals
from accounts.api.requests import parse_query
from accounts.api.router import Access, Call, Route
from accounts.api.shapes import Answer, Dollars
from accounts.filters import MAX_LIMIT, MAX_OFFSET
from accounts.wallet_view import LATEST_LINES, WalletSummary, WalletView


class WalletQuery(PeriodQuery):
    """For the lines and what was used; what is in the wallet is as it is."""

    limit: int = Field(default=LATEST_LINES, ge=1, le=MAX_LIMIT)
    offset: int = Field(default=0, ge=0, le=MAX_OFFSET, description="rows to skip")


class WalletShown(Answer):
    id: UUID
    userId: UUID
    balance: Dollars
    currency: str
    stripeCustomerId: str | None
    available: Annotated[Dollars, Field(description="what the next request may spend")]
    held: Annotated[Dollars, Field(description="by requests that run")]
    overdraft: Dollars


class WalletAnswer(Answer):
    success: bool
    wallet: WalletShown
    transactions: list[LineAnswer]
    usageStats: StatisticsAnswer


@dataclass(frozen=True, slots=True)
class WalletRoutes:
    view: WalletView

    def routes(self) -> list[Route]:
        summary = "The wallet, made on first use; its latest lines, and what was used"
        return [
            Route(
                "GET", "/api/ai-api/wallet", Access.USER, self.show, summary, query=WalletQuery, answer=WalletAnswer
            )
        ]  # fmt: skip

    async def show(self, call: Call) -> Any:
        asked = parse_query(WalletQuery, call.request.query)
        user_id = call.user.user_id
        found = await self.view.overview(user_id, asked.filter(), limit=asked.limit, offset=asked.offset)
        return {
            "success": True,
            "wallet": _wallet(found.wallet, user_id),
            "transactions": [shown_line(line) for line in found.transactions],
            "usageStats": shown_totals(found.statistics),
        }


def _wallet(wallet: WalletSummary, user_id: UUID) -> dict[str, Any]:
    return {
        "id": wallet.id,
        "userId": user_id,
        "balance": dollars(wallet.balance_nanos),
        "currency": wallet.currency,
        "stripeCustomerId": wallet.stripe_customer_id,
        "available": dollars(wallet.available_nanos),
        "held": dollars(wallet.held_nanos),
        "overdraft": dollars(wallet.overdraft_nanos),
    }
