"""A Stripe of our own: an HTTP server that the real SDK talks to, and what happens there to payers' money.

Over HTTP: customers, checkout sessions (payment and setup), payment intents and saved cards, lists of payment
intents, refunds and disputes, with idempotency keys as
Stripe honours them for 24 hours (the same key gives the same answer, also where that is an error; with other parameters
it is refused; one still in progress is a conflict; what was not even begun is not kept). By method: a payer pays or
leaves a card, a refund is made, a bank disputes; each gives the event that Stripe would deliver, to be signed with
`sign`.
"""

import asyncio
import itertools
import operator
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeAlias
from urllib.parse import parse_qsl

import orjson
import stripe
from aiohttp import web

from runtime.clock import wall_ms

Object: TypeAlias = dict[str, Any]

SECRET_KEY = "sk_test_farebox"
SIGNING_SECRET = "whsec_farebox"
CREATED_S = 1_790_000_000
KEYS_LIVE_S = 24 * 3600


@dataclass(frozen=True)
class Asked:
    """One request, as it came."""

    path: str
    params: Object
    idempotency_key: str


@dataclass(frozen=True)
class Trouble:
    """An answer that the next request gets instead of its own; `after`: the request is carried out all the same.

    `kept`: it is the answer of this idempotency key from now on.
    """

    status: int
    body: bytes = b"{}"
    after: bool = False
    kept: bool = False


@dataclass(frozen=True)
class Kept:
    """What an idempotency key has been answered; `at_s` by our clock."""

    status: int
    body: bytes
    at_s: int


@dataclass
class FakeStripe:
    url: str = ""
    asked: list[Asked] = field(default_factory=list)
    troubles: list[Trouble] = field(default_factory=list)
    objects: dict[str, Object] = field(default_factory=dict)
    gate: asyncio.Event | None = None  # while it is there and not set, requests are in progress
    declines: dict[str, str] = field(default_factory=dict)  # payment method -> Stripe's code
    most_per_page: int = 100
    later_s: int = 0  # how much later than now it is at Stripe
    _kept: dict[str, tuple[Asked, Kept | None]] = field(default_factory=dict)
    _numbers: "itertools.count[int]" = field(default_factory=itertools.count)

    # What payers, merchants and banks do.

    def pay(self, session_id: str, *, later: bool = False) -> Object:
        """The payer is through the checkout; with `later` the money is still on its way."""
        session = self.objects[session_id]
        intent = self._make("pi", "payment_intent", amount=session["amount_total"], currency="usd")
        intent |= {"metadata": session["metadata"], "status": "processing" if later else "succeeded"}
        intent["amount_received"] = 0 if later else intent["amount"]
        status = {"status": "complete", "payment_status": "unpaid" if later else "paid"}
        session |= status | {"payment_intent": intent["id"]}
        return self.event("checkout.session.completed", session)

    def arrive(self, session_id: str) -> Object:
        """The money that was on its way has come."""
        session = self.objects[session_id]
        session["payment_status"] = "paid"
        intent = self.objects[session["payment_intent"]]
        intent |= {"status": "succeeded", "amount_received": intent["amount"]}
        return self.event("checkout.session.async_payment_succeeded", session)

    def leave_card(self, session_id: str, *, declines: str | None = None) -> list[Object]:
        """The payer is through a setup page: its event and the session's. `declines`: what becomes of every charge."""
        session = self.objects[session_id]
        card = {"brand": "visa", "last4": "4242", "exp_month": 12, "exp_year": 2031}
        method = self._make("pm", "payment_method", type="card", card=card, customer=session["customer"])
        intent = self._make("seti", "setup_intent", customer=session["customer"], payment_method=method["id"])
        intent |= {"status": "succeeded", "usage": "off_session", "metadata": session["metadata"]}
        session |= {"status": "complete", "payment_status": "no_payment_required", "setup_intent": intent["id"]}
        if declines is not None:
            self.declines[method["id"]] = declines
        return [self.event("setup_intent.succeeded", intent), self.event("checkout.session.completed", session)]

    def intents(self) -> list[Object]:
        return [made for made in self.objects.values() if made["object"] == "payment_intent"]

    def refund(self, session_id: str, cents: int, status: str = "succeeded") -> list[Object]:
        """Part of a session's or an intent's payment goes back: the refund's event, and the charge's with the total."""
        intent = self._charge(session_id)["payment_intent"]
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
        paid = self.objects[session_id]
        intent = self.objects[paid.get("payment_intent", session_id)]
        charge_id = f"ch_{intent['id']}"
        if charge_id not in self.objects:
            about = {"id": charge_id, "payment_intent": intent["id"], "metadata": paid["metadata"]}
            self._make("ch", "charge", amount=intent["amount"], currency="usd", amount_refunded=0, **about)
        return self.objects[charge_id]

    def _make(self, prefix: str, kind: str, **fields: Any) -> Object:
        made = {"id": f"{prefix}_{next(self._numbers)}", "object": kind, "created": CREATED_S, **fields}
        if kind != "refund":  # which has no such field
            made["livemode"] = False
        self.objects[made["id"]] = made
        return made

    # HTTP.

    async def answer(self, request: web.Request) -> web.Response:
        form = request.query_string if request.method == "GET" else await request.text()
        asked = Asked(request.path, _nested(form), request.headers.get("Idempotency-Key", ""))
        self.asked.append(asked)
        if request.headers.get("Authorization") != f"Bearer {SECRET_KEY}":
            return _error(401, "invalid_request_error", "Invalid API Key provided")
        trouble = self.troubles.pop(0) if self.troubles else None
        if trouble is not None and not trouble.after:
            return web.Response(status=trouble.status, body=trouble.body, content_type="application/json")
        answer = self._look(asked) if request.method == "GET" else await self._once(asked)
        if trouble is not None:
            if trouble.kept:
                self._kept[asked.idempotency_key] = (asked, Kept(trouble.status, trouble.body, self._now_s()))
            return web.Response(status=trouble.status, body=trouble.body, content_type="application/json")
        return answer

    def _now_s(self) -> int:
        return wall_ms() // 1000 + self.later_s

    async def _once(self, asked: Asked) -> web.Response:
        before = self._kept.get(asked.idempotency_key)
        if before is not None and before[1] is not None and before[1].at_s < self._now_s() - KEYS_LIVE_S:
            before = None
        if before is not None and before[0] != asked:
            return _error(400, "idempotency_error", "Keys can only be used with the same parameters")
        if before is not None and before[1] is None:
            return _error(409, "idempotency_error", "in progress", code="idempotency_key_in_use")
        if before is not None and before[1] is not None:
            return web.Response(status=before[1].status, body=before[1].body, content_type="application/json")
        self._kept[asked.idempotency_key] = (asked, None)
        if self.gate is not None:
            await self.gate.wait()
        made = self._do(asked)
        if isinstance(made, web.Response) and made.status != 402:  # a decline is kept like a success
            del self._kept[asked.idempotency_key]
            return made
        answer = made if isinstance(made, web.Response) else web.json_response(made)
        assert isinstance(answer.body, bytes)
        self._kept[asked.idempotency_key] = (asked, Kept(answer.status, answer.body, self._now_s()))
        return answer

    def _do(self, asked: Asked) -> Object | web.Response:
        match asked.path.split("/")[2:]:
            case ["customers"]:
                return self._customer(asked)
            case ["checkout", "sessions"]:
                return self._session(asked)
            case ["payment_intents"]:
                return self._intent(asked)
            case ["payment_methods", method_id, "detach"] if method_id in self.objects:
                self.objects[method_id]["customer"] = None
                return self.objects[method_id]
        return _missing("payment_method", 404)

    def _look(self, asked: Asked) -> web.Response:
        """What is only read."""
        kind = _LISTS.get(asked.path)
        if kind is None:
            thing = self.objects.get(asked.path.split("/")[-1])
            return _missing("id", 404) if thing is None else web.json_response(thing)
        if "customer" in asked.params and asked.params["customer"] not in self.objects:
            return _missing("customer")
        return self._page(kind, asked)

    def _page(self, kind: str, asked: Asked) -> web.Response:
        """The newest first, from behind the one that is named."""
        found = [
            made for made in reversed(self.objects.values()) if made["object"] == kind and _fits(made, asked.params)
        ]
        found.sort(key=lambda made: int(made["created"]), reverse=True)
        if (after := asked.params.get("starting_after")) is not None:
            ids = [made["id"] for made in found]
            if after not in ids:
                return _missing("starting_after")
            found = found[ids.index(after) + 1 :]
        most = min(int(asked.params.get("limit", 10)), self.most_per_page)
        page = {"object": "list", "data": found[:most], "has_more": len(found) > most, "url": asked.path}
        return web.json_response(page)

    def _intent(self, asked: Asked) -> Object | web.Response:
        """A saved card is charged while nobody is there."""
        params = asked.params
        method = self.objects.get(params["payment_method"])
        if params["customer"] not in self.objects:
            return _missing("customer")
        if method is None or method["customer"] != params["customer"]:
            return _missing("payment_method")
        intent = self._make("pi", "payment_intent", created=self._now_s(), amount=int(params["amount"]))
        intent |= {name: params[name] for name in ("currency", "customer", "payment_method", "metadata")}
        code = self.declines.get(params["payment_method"])
        if code == "processing":
            intent |= {"status": "processing", "amount_received": 0}
        elif code is None:
            intent |= {"status": "succeeded", "amount_received": intent["amount"]}
        else:
            failure = {"type": "card_error", "code": code, "message": "Your card was declined."}
            intent |= {"status": "requires_payment_method", "amount_received": 0, "last_payment_error": failure}
            return _error(402, "card_error", "Your card was declined.", code=code, payment_intent=_copy(intent))
        return intent

    def _customer(self, asked: Asked) -> Object | web.Response:
        email = asked.params.get("email")
        if email is not None and "." not in email:
            return _error(400, "invalid_request_error", "Invalid email", code="email_invalid", param="email")
        return self._make("cus", "customer", email=email, metadata=asked.params.get("metadata", {}))

    def _session(self, asked: Asked) -> Object | web.Response:
        params = asked.params
        if params["customer"] not in self.objects:
            return _missing("customer")
        session = self._make("cs_test", "checkout.session", mode=params["mode"], customer=params["customer"])
        if params["mode"] == "payment":
            price = params["line_items"]["0"]["price_data"]
            total = int(price["unit_amount"]) * int(params["line_items"]["0"]["quantity"])
            session |= {"amount_total": total, "currency": price["currency"]}
        session |= {
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
    app.router.add_route("*", "/v1/{path:.*}", fake.answer)
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        fake.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield fake
    finally:
        await runner.cleanup()


def _error(status: int, kind: str, message: str, **more: Any) -> web.Response:
    return web.json_response({"error": {"type": kind, "message": message, **more}}, status=status)


_LISTS = {"/v1/payment_intents": "payment_intent", "/v1/refunds": "refund", "/v1/disputes": "dispute"}
_COMPARED = {"gt": operator.gt, "gte": operator.ge, "lt": operator.lt, "lte": operator.le}


def _fits(made: Object, params: Object) -> bool:
    created = params.get("created", {})
    return all(_COMPARED[name](made["created"], int(at_s)) for name, at_s in created.items()) and all(
        made.get(name) == params[name] for name in ("customer", "payment_intent") if name in params
    )


def _missing(param: str, status: int = 400) -> web.Response:
    return _error(status, "invalid_request_error", f"No such {param}", code="resource_missing", param=param)


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
