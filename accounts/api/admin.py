"""`/api/ai-api/admin/…`: credits by an administrator."""

from dataclasses import dataclass
from typing import Any

from accounts.api.answers import dollars
from accounts.api.fields import Amount, Body, Description, Id
from accounts.api.requests import parse_body, read_body
from accounts.api.router import Access, Call, Route
from accounts.errors import InvalidRequest
from accounts.wallets import Wallets
from ledger.entries import WalletState

_BASE = "/api/ai-api/admin/credits"


class BonusBody(Body):
    userId: Id
    amount: Amount
    description: Description


class SetBody(Body):
    userId: Id
    balance: Amount
    description: Description


@dataclass(frozen=True, slots=True)
class AdminRoutes:
    wallets: Wallets

    def routes(self) -> list[Route]:
        return [
            Route("POST", f"{_BASE}/bonus", Access.ADMIN, self.bonus),
            Route("POST", f"{_BASE}/set", Access.ADMIN, self.set),
        ]

    async def bonus(self, call: Call) -> Any:
        body = parse_body(BonusBody, await read_body(call.request))
        if body.amount <= 0:
            raise InvalidRequest("amount: must be more than 0")
        wallet = await self.wallets.give_bonus(body.userId, body.amount, body.description, str(call.user.user_id))
        return _done("The bonus is credited.", wallet)

    async def set(self, call: Call) -> Any:
        body = parse_body(SetBody, await read_body(call.request))
        if body.balance < 0:
            raise InvalidRequest("balance: must not be negative")
        wallet = await self.wallets.set_balance(body.userId, body.balance, body.description, str(call.user.user_id))
        return _done("The balance is set.", wallet)


def _done(message: str, wallet: WalletState) -> dict[str, Any]:
    return {"success": True, "message": message, "balance": dollars(wallet.balance_nanos)}
