"""`/api/ai-api/admin/…`: what an administrator does to wallets and keys. All of it is logged, with the reason."""

from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field

from accounts.api.answers import dollars
from accounts.api.fields import Body, Description, Id, NonNegativeAmount, PositiveAmount
from accounts.api.requests import parse_body, read_body
from accounts.api.router import Access, Call, Route
from accounts.api.shapes import Dollars, Done
from accounts.errors import KeyNotFound, OverdraftInUse, RefundTooLarge, RequestNotFound
from accounts.key_acts import KeyActs
from accounts.wallets import Wallets
from ledger.entries import WalletState
from ledger.errors import InvalidAmount, WalletNotFound

BASE = "/api/ai-api/admin"


class BonusBody(Body):
    userId: Id
    amount: PositiveAmount
    description: Description


class SetBody(Body):
    userId: Id
    balance: NonNegativeAmount
    description: Description


class RefundBody(Body):
    """With a request: at most what was debited for it and not given back yet."""

    userId: Id
    amount: PositiveAmount
    description: Description
    requestId: Id | None = None


class FreezeWalletBody(Body):
    userId: Id
    frozen: bool
    reason: Description


class OverdraftBody(Body):
    """How far below nothing the balance may go."""

    userId: Id
    overdraft: NonNegativeAmount
    reason: Description


class FreezeKeyBody(Body):
    keyId: Id
    frozen: bool
    reason: Description


class RevokeKeyBody(Body):
    keyId: Id
    reason: Description


class BalanceAnswer(Done):
    balance: Dollars


class OverdraftAnswer(BalanceAnswer):
    overdraft: Dollars


class FrozenAnswer(Done):
    frozen: bool
    changed: Annotated[bool, Field(description="false: it was so already, and nothing was logged")]


class RevokedAnswer(Done):
    changed: Annotated[bool, Field(description="false: it was revoked already, and nothing was logged")]


@dataclass(frozen=True, slots=True)
class AdminRoutes:
    wallets: Wallets
    keys: KeyActs

    def routes(self) -> list[Route]:
        admin, wallets, keys = Access.ADMIN, f"{BASE}/wallets", f"{BASE}/keys"
        refund_refusals = (WalletNotFound, RequestNotFound, RefundTooLarge, InvalidAmount)
        return [
            Route("POST", f"{BASE}/credits/bonus", admin, self.bonus, "Add to a user's wallet, made on first use",
                body=BonusBody, answer=BalanceAnswer, refusals=(InvalidAmount,)),
            Route("POST", f"{BASE}/credits/set", admin, self.set, "Set a balance, as an adjustment of the difference",
                body=SetBody, answer=BalanceAnswer, refusals=(InvalidAmount,)),
            Route("POST", f"{BASE}/credits/refund", admin, self.refund, "Give back, all or part of a request's debit",
                body=RefundBody, answer=BalanceAnswer, refusals=refund_refusals),
            Route("POST", f"{wallets}/freeze", admin, self.freeze_wallet, "Freeze a wallet, or let it go",
                body=FreezeWalletBody, answer=FrozenAnswer, refusals=(WalletNotFound,)),
            Route("POST", f"{wallets}/overdraft", admin, self.overdraft, "Say how far below nothing a wallet may go",
                body=OverdraftBody, answer=OverdraftAnswer, refusals=(WalletNotFound, OverdraftInUse)),
            Route("POST", f"{keys}/freeze", admin, self.freeze_key, "Freeze anybody's key, or let it go",
                body=FreezeKeyBody, answer=FrozenAnswer, refusals=(KeyNotFound,)),
            Route("POST", f"{keys}/revoke", admin, self.revoke_key, "Switch anybody's key off for good",
                body=RevokeKeyBody, answer=RevokedAnswer, refusals=(KeyNotFound,)),
        ]  # fmt: skip

    async def bonus(self, call: Call) -> Any:
        body = parse_body(BonusBody, await read_body(call.request))
        wallet = await self.wallets.give_bonus(body.userId, body.amount, body.description, _by(call))
        return _balance("The bonus is credited.", wallet)

    async def set(self, call: Call) -> Any:
        body = parse_body(SetBody, await read_body(call.request))
        wallet = await self.wallets.set_balance(body.userId, body.balance, body.description, _by(call))
        return _balance("The balance is set.", wallet)

    async def refund(self, call: Call) -> Any:
        body = parse_body(RefundBody, await read_body(call.request))
        wallet = await self.wallets.refund(body.userId, body.amount, body.description, _by(call), body.requestId)
        return _balance("The refund is credited.", wallet)

    async def freeze_wallet(self, call: Call) -> Any:
        body = parse_body(FreezeWalletBody, await read_body(call.request))
        changed = await self.wallets.freeze(body.userId, body.frozen, body.reason, _by(call))
        return _frozen("wallet", body.frozen, changed)

    async def overdraft(self, call: Call) -> Any:
        body = parse_body(OverdraftBody, await read_body(call.request))
        wallet = await self.wallets.set_overdraft(body.userId, body.overdraft, body.reason, _by(call))
        return _balance("The overdraft is set.", wallet) | {"overdraft": dollars(wallet.overdraft_nanos)}

    async def freeze_key(self, call: Call) -> Any:
        body = parse_body(FreezeKeyBody, await read_body(call.request))
        changed = await self.keys.freeze(body.keyId, body.frozen, body.reason, _by(call))
        return _frozen("key", body.frozen, changed)

    async def revoke_key(self, call: Call) -> Any:
        body = parse_body(RevokeKeyBody, await read_body(call.request))
        changed = await self.keys.revoke(body.keyId, body.reason, _by(call))
        return {"success": True, "message": "The key is revoked.", "changed": changed}


def _by(call: Call) -> str:
    return str(call.user.user_id)


def _balance(message: str, wallet: WalletState) -> dict[str, Any]:
    return {"success": True, "message": message, "balance": dollars(wallet.balance_nanos)}


def _frozen(what: str, frozen: bool, changed: bool) -> dict[str, Any]:
    message = f"The {what} is {'frozen' if frozen else 'not frozen'}."
    return {"success": True, "message": message, "frozen": frozen, "changed": changed}
