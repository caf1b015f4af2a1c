"""`/api/ai-api/wallet`: what is in a user's wallet, its latest lines, what was used."""

from dataclasses import dataclass
from typing import Any

from accounts.api.answers import dollars
from accounts.api.fields import Body, End, Moment
from accounts.api.requests import parse_query
from accounts.api.router import Access, Call, Route
from accounts.filters import Filter
from accounts.statistics import UsageStatistics
from accounts.transactions import TransactionRow
from accounts.wallet_view import LATEST_LINES, WalletSummary, WalletView


class WalletQuery(Body):
    limit: int = LATEST_LINES
    offset: int = 0
    startDate: Moment | None = None
    endDate: End | None = None
    model: str | int | None = None


@dataclass(frozen=True, slots=True)
class WalletRoutes:
    view: WalletView

    def routes(self) -> list[Route]:
        return [Route("GET", "/api/ai-api/wallet", Access.USER, self.show)]

    async def show(self, call: Call) -> Any:
        asked = parse_query(WalletQuery, call.request.query)
        # a model may be called 4711; the query's text was read as a number then
        model = None if asked.model is None else str(asked.model)
        wanted = Filter(asked.startDate, asked.endDate, model)
        found = await self.view.overview(call.user.user_id, wanted, limit=asked.limit, offset=asked.offset)
        return {
            "success": True,
            "wallet": _wallet(found.wallet),
            "transactions": [_line(line) for line in found.transactions],
            "usageStats": _statistics(found.statistics),
        }


def _wallet(wallet: WalletSummary) -> dict[str, Any]:
    return {
        "id": wallet.id,
        "balance": dollars(wallet.balance_nanos),
        "currency": wallet.currency,
        "stripeCustomerId": wallet.stripe_customer_id,
        "available": dollars(wallet.available_nanos),
        "held": dollars(wallet.held_nanos),
        "overdraft": dollars(wallet.overdraft_nanos),
    }


def _line(line: TransactionRow) -> dict[str, Any]:
    return {
        "id": line.id,
        "type": line.type,
        "amount": dollars(line.amount_nanos),
        "description": line.description,
        "balance_before": dollars(line.balance_before_nanos),
        "balance_after": dollars(line.balance_after_nanos),
        "request_id": line.request_id,
        "created_at": line.created_at,
    }


def _statistics(used: UsageStatistics) -> dict[str, Any]:
    return {
        "totalRequests": used.requests,
        "totalTokens": used.tokens,
        "totalCost": dollars(used.cost_nanos),
        "byModel": {
            model.model: {"requests": model.requests, "tokens": model.tokens, "cost": dollars(model.cost_nanos)}
            for model in used.by_model
        },
    }
