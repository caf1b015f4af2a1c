"""`/api/ai-api/stripe/…`: a page to pay on, a card to charge later, and what Stripe tells us of payments."""

from dataclasses import dataclass
from typing import Any

from accounts.api.requests import parse_body, read_body
from accounts.api.router import Access, Call, Route
from accounts.api.stripe_shapes import (
    AutoTopupAnswer,
    AutoTopupBody,
    CheckoutBody,
    HeardAnswer,
    PageAnswer,
    SwitchBody,
    shown,
)
from accounts.errors import AutoTopupIncomplete, BadSignature, StripeRefused, StripeUnavailable
from accounts.stripe.auto_topup.plans import Plans
from accounts.stripe.auto_topup.wishes import Wish
from accounts.stripe.checkout import Checkout, CheckoutSession
from accounts.stripe.webhook import MAX_PAYLOAD_BYTES, Webhook

_BASE = "/api/ai-api/stripe"
AUTO_TOPUP = f"{_BASE}/auto-topup"
ADMIN_AUTO_TOPUP = "/api/ai-api/admin/auto-topup"
_STRIPE = (StripeRefused, StripeUnavailable)


@dataclass(frozen=True, slots=True)
class StripeRoutes:
    """Without a secret key there are no payments, without a signing secret no webhook: their routes do not exist."""

    checkout: Checkout | None
    plans: Plans | None
    webhook: Webhook | None

    def routes(self) -> list[Route]:
        routes = [] if self.checkout is None else self._payments()
        routes += [] if self.plans is None else self._auto_topup()
        return routes + ([] if self.webhook is None else self._webhook())

    def _payments(self) -> list[Route]:
        return [
            Route(
                "POST",
                f"{_BASE}/checkout",
                Access.USER,
                self.pay,
                "A page of Stripe's to pay an amount on",
                body=CheckoutBody,
                answer=PageAnswer,
                refusals=_STRIPE,
            ),
            Route(
                "POST",
                f"{AUTO_TOPUP}/setup",
                Access.USER,
                self.save_card,
                "A page of Stripe's to leave a card on, for auto top-up",
                answer=PageAnswer,
                refusals=_STRIPE,
            ),
        ]

    def _auto_topup(self) -> list[Route]:
        user, answer = Access.USER, AutoTopupAnswer
        return [
            Route("GET", AUTO_TOPUP, user, self.show, "Your auto top-up", answer=answer),
            Route(
                "PUT",
                AUTO_TOPUP,
                user,
                self.set,
                "When your saved card is charged, and how much; on again after it has stopped",
                body=AutoTopupBody,
                answer=answer,
                refusals=(AutoTopupIncomplete,),
            ),
            Route("DELETE", AUTO_TOPUP, user, self.forget, "Switch auto top-up off and forget the card", answer=answer),
            Route(
                "PUT",
                ADMIN_AUTO_TOPUP,
                Access.ADMIN,
                self.switch,
                "Switch a user's auto top-up off, or on again after it has stopped",
                body=SwitchBody,
                answer=answer,
                refusals=(AutoTopupIncomplete,),
            ),
        ]

    def _webhook(self) -> list[Route]:
        what = "Where Stripe delivers its events, signed"
        answer = HeardAnswer
        return [
            Route("POST", f"{_BASE}/webhook", Access.SIGNED, self.hear, what, answer=answer, refusals=(BadSignature,))
        ]

    async def pay(self, call: Call) -> Any:
        assert self.checkout is not None
        amount_nanos = parse_body(CheckoutBody, await read_body(call.request)).amount
        return _page(await self.checkout.create(call.user.user_id, call.user.email, amount_nanos))

    async def save_card(self, call: Call) -> Any:
        assert self.checkout is not None
        return _page(await self.checkout.save_card(call.user.user_id, call.user.email))

    async def show(self, call: Call) -> Any:
        assert self.plans is not None
        return shown(await self.plans.show(call.user.user_id))

    async def set(self, call: Call) -> Any:
        assert self.plans is not None
        body = parse_body(AutoTopupBody, await read_body(call.request))
        wish = Wish(body.enabled, body.threshold, body.amount, body.monthlyCap)
        return shown(await self.plans.set(call.user.user_id, wish))

    async def forget(self, call: Call) -> Any:
        assert self.plans is not None
        return shown(await self.plans.forget(call.user.user_id))

    async def switch(self, call: Call) -> Any:
        assert self.plans is not None
        body = parse_body(SwitchBody, await read_body(call.request))
        return shown(await self.plans.switch(body.userId, body.enabled, call.user.user_id, body.reason))

    async def hear(self, call: Call) -> Any:
        """Answered only after the credit is committed; anything else makes Stripe deliver again."""
        assert self.webhook is not None
        payload = await read_body(call.request, MAX_PAYLOAD_BYTES)
        await self.webhook.handle(payload, call.request.headers.get("Stripe-Signature"))
        return {"received": True}


def _page(session: CheckoutSession) -> dict[str, object]:
    return {"success": True, "sessionId": session.id, "url": session.url}
