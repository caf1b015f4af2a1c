"""A Stripe of our own: an HTTP server that the real SDK talks to, and what happens there to payers' money.

Over HTTP: customers and checkout sessions, with idempotency keys as Stripe honours them (the same key gives the same
object; with other parameters it is refused; one still in progress is a conflict). By method: a payer pays, a refund is
made, a bank disputes; each gives the event that Stripe would deliver, to be signed with `sign`.
"""

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeAlias
from urllib.parse import parse_qsl

import orjson
import stripe
from aiohttp import web

Object: TypeAlias = dict[str, Any]

SECRET_KEY = "sk_test_farebox"
SIGNING_SECRET = "whsec_farebox"
CREATED_S = 1_790_000_000


@dataclass(frozen=True)
class Asked:
    """One request, as it came."""

    path: str
    params: Object
    idempotency_key: str


@dataclass(frozen=True)
class Trouble:
    """An answer that the next request gets instead of its own; `after`: the request is carried out all the same."""

    status: int
    body: bytes = b"{}"
    after: bool = False


@dataclass
class FakeStripe:
    url: str = ""
    asked: list[Asked] = field(default_factory=list)
    troubles: list[Trouble] = field(default_factory=list)
    objects: dict[str, Object] = field(default_factory=dict)
    gate: asyncio.Event | None = None  # while it is there and not set, requests are in progress
    _kept: dict[str, tuple[Asked, Object | None]] = field(default_factory=dict)
    _numbers: "itertools.count[int]" = field(default_factory=itertools.count)

    # What payers, merchants and banks do.

    def pay(self, session_id: str, *, later: bool = False) -> Object:
        """The payer is through the checkout; with `later` the money is still on its way."""
        session = self.objects[session_id]
        intent = self._make("pi", "payment_intent", amount=session["amount_total"], currency="usd")
        intent |= {"metadata": session["metadata"], "status": "processing" if later else "succeeded"}
        status = {"status": "complete", "payment_status": "unpaid" if later else "paid"}
        session |= status | {"payment_intent": intent["id"]}
        return self.event("checkout.session.completed", session)

    def arrive(self, session_id: str) -> Object:
        """The money that was on its way has come."""
        session = self.objects[session_id]
        session["payment_status"] = "paid"
        return self.event("checkout.session.async_payment_succeeded", session)

    def refund(self, session_id: str, cents: int, status: str = "succeeded") -> list[Object]:
        """Part of a payment goes back: the refund's event, and the charge's with the total."""
        intent = self.objects[session_id]["payment_intent"]
        refund = self._make("re", "refund", amount=cents, currency="usd", payment_intent=intent, status=status)
        charge = self._charge(session_id)
        charge["amount_refunded"] += cents
        charge["refunded"] = charge["amount_refunded"] == charge["amount"]
        return [self.event("refund.created", refund), self.event("charge.refunded", charge)]

    def change_refund(self, refund_id: str, status: str) -> Object:
        self.objects[refund_id]["status"] = status
        return self.event("refund.updated", self.objects[refund_id])

    def dispute(self, session_id: str, cents: int, status: str = "needs_response") -> Object:
        charge = self._charge(session_id)
        about = {"charge": charge["id"], "payment_intent": charge["payment_intent"], "reason": "fraudulent"}
        dispute = self._make("du", "dispute", amount=cents, currency="usd", status=status, **about)
        return self.event("charge.dispute.created", dispute)

    def close_dispute(self, dispute_id: str, status: str) -> Object:
        self.objects[dispute_id]["status"] = status
        return self.event("charge.dispute.closed", self.objects[dispute_id])

    def event(self, kind: str, about: Object) -> Object:
        """As it would be delivered now: a copy, so that what happens later does not change it."""
        event = self._make("evt", "event", type=kind, api_version="2026-10-28.endive", pending_webhooks=1)
        return _copy(event | {"data": {"object": about}, "request": None})

    def _charge(self, session_id: str) -> Object:
        session = self.objects[session_id]
        charge_id = f"ch_{session['payment_intent']}"
        if charge_id not in self.objects:
            paid = {"id": charge_id, "payment_intent": session["payment_intent"], "metadata": session["metadata"]}
            self._make("ch", "charge", amount=session["amount_total"], currency="usd", amount_refunded=0, **paid)
        return self.objects[charge_id]

    def _make(self, prefix: str, kind: str, **fields: Any) -> Object:
        made = {"id": f"{prefix}_{next(self._numbers)}", "object": kind, "created": CREATED_S, **fields}
        if kind != "refund":  # which has no such field
            made["livemode"] = False
        self.objects[made["id"]] = made
        return made

    # HTTP.

    async def answer(self, request: web.Request) -> web.Response:
        asked = Asked(request.path, _nested(await request.text()), request.headers.get("Idempotency-Key", ""))
        self.asked.append(asked)
        if request.headers.get("Authorization") != f"Bearer {SECRET_KEY}":
            return _error(401, "invalid_request_error", "Invalid API Key provided")
        trouble = self.troubles.pop(0) if self.troubles else None
        if trouble is not None and not trouble.after:
            return web.Response(status=trouble.status, body=trouble.body, content_type="application/json")
        answer = await self._once(asked)
        if trouble is not None:
            return web.Response(status=trouble.status, body=trouble.body, content_type="application/json")
        return answer

    async def _once(self, asked: Asked) -> web.Response:
        before = self._kept.get(asked.idempotency_key)
        if before is not None and before[0] != asked:
            return _error(400, "idempotency_error", "Keys can only be used with the same parameters")
        if before is not None and before[1] is None:
            return _error(409, "idempotency_error", "in progress", code="idempotency_key_in_use")
        if before is not None:
            return web.json_response(before[1])
        self._kept[asked.idempotency_key] = (asked, None)
        if self.gate is not None:
            await self.gate.wait()
        made = self._customer(asked) if asked.path == "/v1/customers" else self._session(asked)
        if isinstance(made, web.Response):
            del self._kept[asked.idempotency_key]
            return made
        self._kept[asked.idempotency_key] = (asked, _copy(made))
        return web.json_response(made)

    def _customer(self, asked: Asked) -> Object | web.Response:
        email = asked.params.get("email")
        if email is not None and "." not in email:
            return _error(400, "invalid_request_error", "Invalid email", code="email_invalid", param="email")
        return self._make("cus", "customer", email=email, metadata=asked.params.get("metadata", {}))

    def _session(self, asked: Asked) -> Object | web.Response:
        params = asked.params
        if params["customer"] not in self.objects:
            return _error(400, "invalid_request_error", "No such customer", code="resource_missing", param="customer")
        price = params["line_items"]["0"]["price_data"]
        session = self._make("cs_test", "checkout.session", mode=params["mode"], customer=params["customer"])
        session |= {
            "amount_total": int(price["unit_amount"]) * int(params["line_items"]["0"]["quantity"]),
            "currency": price["currency"],
            "metadata": params["metadata"],
            "client_reference_id": params["client_reference_id"],
            "payment_intent": None,
            "payment_status": "unpaid",
            "status": "open",
            "url": f"https://checkout.stripe.com/c/pay/{session['id']}",
        }
        return session


def sign(event: Object | bytes, secret: str = SIGNING_SECRET, at_s: int = CREATED_S) -> tuple[bytes, str]:
    """The body of a delivery and its header, by the SDK's own signer."""
    payload = event if isinstance(event, bytes) else orjson.dumps(event)
    signer: Any = stripe.WebhookSignature.generate_signature_header
    return payload, signer(payload.decode(), secret, at_s)


@asynccontextmanager
async def fake_stripe() -> AsyncIterator[FakeStripe]:
    fake = FakeStripe()
    app = web.Application()
    app.router.add_post("/v1/customers", fake.answer)
    app.router.add_post("/v1/checkout/sessions", fake.answer)
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        fake.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield fake
    finally:
        await runner.cleanup()


def _error(status: int, kind: str, message: str, **more: str) -> web.Response:
    return web.json_response({"error": {"type": kind, "message": message, **more}}, status=status)


def _nested(form: str) -> Object:
    """`line_items[0][quantity]=1` as nested objects."""
    tree: Object = {}
    for name, value in parse_qsl(form, keep_blank_values=True):
        *parents, last = name.replace("]", "").split("[")
        node = tree
        for part in parents:
            node = node.setdefault(part, {})
        node[last] = value
    return tree


def _copy(made: Object) -> Object:
    copy: Object = orjson.loads(orjson.dumps(made))
    return copy


def declared_fields(kind: type[stripe.StripeObject]) -> set[str]:
    """What the SDK says that such an object has."""
    return {name for base in kind.__mro__ for name in getattr(base, "__annotations__", {})}
