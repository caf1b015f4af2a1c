"""`/api/ai-api/stripe/…`: a page to pay on, and what Stripe tells us of payments."""

from dataclasses import dataclass
from typing import Any

from accounts.api.fields import Amount, Body
from accounts.api.requests import parse_body, read_body
from accounts.api.router import Access, Call, Route
from accounts.stripe.checkout import Checkout
from accounts.stripe.webhook import MAX_PAYLOAD_BYTES, Webhook

_BASE = "/api/ai-api/stripe"


class CheckoutBody(Body):
    amount: Amount


@dataclass(frozen=True, slots=True)
class StripeRoutes:
    """Without a secret key there is no checkout, without a signing secret no webhook: their routes do not exist."""

    checkout: Checkout | None
    webhook: Webhook | None

    def routes(self) -> list[Route]:
        routes = []
        if self.checkout is not None:
            routes.append(Route("POST", f"{_BASE}/checkout", Access.USER, self.pay))
        if self.webhook is not None:
            routes.append(Route("POST", f"{_BASE}/webhook", Access.SIGNED, self.hear))
        return routes

    async def pay(self, call: Call) -> Any:
        assert self.checkout is not None
        amount_nanos = parse_body(CheckoutBody, await read_body(call.request)).amount
        session = await self.checkout.create(call.user.user_id, None, amount_nanos)
        return {"success": True, "sessionId": session.id, "url": session.url}

    async def hear(self, call: Call) -> Any:
        """Answered only after the credit is committed; anything else makes Stripe deliver again."""
        assert self.webhook is not None
        payload = await read_body(call.request, MAX_PAYLOAD_BYTES)
        await self.webhook.handle(payload, call.request.headers.get("Stripe-Signature"))
        return {"received": True}
