"""A person leaves a card and a plan; the ledger process charges it, and the wallet is filled: the whole program over
HTTP, in front of localstripe."""

import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import aiohttp
import pytest
from stripe import WebhookSignature

from accounts.identity import mint_token
from runtime.clock import wall_ms
from tests.support.ledger import until
from tests.support.local_stripe import DECLINED_CARD, GOOD_CARD, local_stripe, local_stripe_process
from tests.support.office import Office
from tests.support.program import JWT_SECRET, Program

ADMIN = UUID("0a0a0a0a-0000-4000-8000-000000000001")
SECRET_KEY = "sk_test_of_a_test"
SIGNING_SECRET = "whsec_a_secret_of_tests_that_is_long_enough"
AUTO, SETUP = "/api/ai-api/stripe/auto-topup", "/api/ai-api/stripe/auto-topup/setup"
SWITCH, WALLET, WEBHOOK = "/api/ai-api/admin/auto-topup", "/api/ai-api/wallet", "/api/ai-api/stripe/webhook"
PLAN: dict[str, Any] = {"enabled": True, "threshold": 5, "amount": 20, "monthlyCap": 50}
OFF = {
    "enabled": False, "state": "off", "stoppedReason": None, "threshold": None, "amount": None, "monthlyCap": None,
    "chargedThisMonth": 0, "remainingThisMonth": 0, "card": None,
}  # fmt: skip


@pytest.fixture(scope="module")
def peer_url() -> Iterator[str]:
    with local_stripe_process() as url:
        yield url


@pytest.fixture(scope="module")
def sections(peer_url: str) -> dict[str, dict[str, Any]]:
    about = {"secret_key": SECRET_KEY, "webhook_secrets": [SIGNING_SECRET], "api_base": peer_url}
    return {
        "identity": {"jwt_secret": JWT_SECRET, "admin_user_ids": [str(ADMIN)]},
        "stripe": about | {"max_amount": 100, "auto_topup": {"interval_s": 0.05, "max_monthly_cap": 500}},
    }


@pytest.fixture
def program(module_program: Program) -> Program:
    return module_program


class Api:
    """What a browser of one person does."""

    def __init__(self, http: aiohttp.ClientSession, base_url: str, user_id: UUID) -> None:
        self._http = http
        self._base_url = base_url
        self.user_id = user_id
        self._auth = {"authorization": f"Bearer {mint_token(user_id, JWT_SECRET, now_ms=wall_ms())}"}

    async def __call__(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        url, sent = self._base_url + path, self._auth | headers
        async with self._http.request(method, url, data=data, headers=sent) as answer:
            return answer.status, json.loads(await answer.read(), parse_float=Decimal)

    async def plan(self) -> Any:
        status, seen = await self("GET", AUTO)
        assert status == 200 and seen["success"] is True
        return seen["autoTopup"]

    async def leave_card(self, peer_url: str, number: str) -> str:
        """At localstripe, and told as Stripe tells of a setup page's end."""
        wallet = (await self("GET", WALLET))[1]["wallet"]
        metadata = {"farebox": "1", "user_id": str(self.user_id), "wallet_id": wallet["id"]}
        async with local_stripe(peer_url, SECRET_KEY) as peer:
            customer = (await peer.post("/v1/customers", description="x"))["id"]
            method = await peer.save_card(customer, number)
        about = {"id": f"seti_{uuid4().hex}", "customer": customer, "payment_method": method, "metadata": metadata}
        event = {"id": f"evt_{uuid4().hex}", "type": "setup_intent.succeeded", "livemode": False}
        payload = json.dumps(event | {"created": wall_ms() // 1000, "data": {"object": about}})
        status, heard = await self("POST", WEBHOOK, payload.encode(), **{"stripe-signature": _signed(payload)})
        assert (status, heard) == (200, {"received": True})
        return method


def _signed(payload: str) -> str:
    now_s = wall_ms() // 1000
    return f"t={now_s},v1={WebhookSignature._compute_signature(f'{now_s}.{payload}', SIGNING_SECRET)}"


@pytest.fixture
def ana(http: aiohttp.ClientSession, program: Program) -> Api:
    return Api(http, program.base_url, uuid4())


@pytest.fixture
def admin(http: aiohttp.ClientSession, program: Program) -> Api:
    return Api(http, program.base_url, ADMIN)


async def test_an_empty_wallet_is_filled_once_from_the_saved_card(ana: Api, peer_url: str, office: Office) -> None:
    assert await ana.plan() == OFF
    await ana.leave_card(peer_url, GOOD_CARD)
    assert (await ana.plan())["card"] == {"brand": "visa", "last4": "4242"}
    status, seen = await ana("PUT", AUTO, PLAN)
    assert status == 200 and seen["autoTopup"]["state"] in ("on", "charging")

    async def is_filled() -> bool:
        return bool((await ana("GET", WALLET))[1]["wallet"]["balance"] == 20)

    await until(is_filled)
    lines = (await ana("GET", WALLET))[1]["transactions"]
    assert [(line["type"], line["amount"]) for line in lines] == [("topup", 20)]
    seen = await ana.plan()
    assert (seen["state"], seen["chargedThisMonth"], seen["remainingThisMonth"]) == ("on", 20, 30)
    status, seen = await ana("DELETE", AUTO)
    assert (status, seen["autoTopup"]["enabled"], seen["autoTopup"]["card"]) == (200, False, None)
    await office.settled()


async def test_a_declined_card_stops_it_and_an_admin_may_switch_it_on(ana: Api, admin: Api, peer_url: str) -> None:
    await ana.leave_card(peer_url, DECLINED_CARD)
    assert (await ana("PUT", AUTO, PLAN))[0] == 200

    async def is_stopped() -> bool:
        return bool((await ana.plan())["state"] == "stopped")

    await until(is_stopped)
    assert (await ana.plan())["stoppedReason"] == "card_declined"
    body = {"userId": str(ana.user_id), "enabled": True, "reason": "the bank says it is fine"}
    assert (await ana("PUT", SWITCH, body))[0] == 403
    status, seen = await admin("PUT", SWITCH, body)
    assert (status, seen["success"]) == (200, True)
    await until(is_stopped)
    assert (await ana("GET", WALLET))[1]["wallet"]["balance"] == 0


async def test_without_a_card_it_is_not_switched_on(ana: Api, admin: Api) -> None:
    status, refused = await ana("PUT", AUTO, PLAN)
    assert (status, refused["code"]) == (409, "auto_topup_incomplete")
    body = {"userId": str(ana.user_id), "enabled": True, "reason": "x"}
    assert (await admin("PUT", SWITCH, body))[0] == 409
    assert await ana.plan() == OFF
    assert (await ana("DELETE", AUTO))[0] == 200


BAD: list[Any] = [
    b"", b"{", b"[]", {}, {"enabled": "yes"}, {"enabled": 1}, {"enabled": None}, {"enabled": False, "colour": "red"},
    *({**PLAN, "enabled": False, field: value} for field in ("threshold", "amount", "monthlyCap")
      for value in (0, -1, "5", True, 1e30, 10**30, [1], 1e-10)),
    *(json.dumps(PLAN | {"enabled": False}).replace("20", word).encode() for word in ("NaN", "Infinity", "1e309")),
    {**PLAN, "enabled": False, "amount": 20.001}, {**PLAN, "enabled": False, "amount": 0.5},
    {**PLAN, "enabled": False, "amount": 100.01, "monthlyCap": 400}, {**PLAN, "enabled": False, "monthlyCap": 19.99},
    {**PLAN, "enabled": False, "monthlyCap": 500.01}, {**PLAN, "enabled": False, "threshold": 501},
]  # fmt: skip


async def test_a_plan_that_is_none_is_refused_and_nothing_is_changed(ana: Api) -> None:
    for body in BAD:
        status, refused = await ana("PUT", AUTO, body)
        assert (status, set(refused)) == (400, {"error", "code"}), body
    assert await ana.plan() == OFF


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
async def test_without_a_token_there_is_nothing(ana: Api, method: str) -> None:
    assert (await ana(method, AUTO, authorization="Bearer x"))[0] == 401
    assert (await ana("POST", SETUP, authorization=""))[0] == 401


async def test_without_an_answer_of_use_there_is_no_page(ana: Api) -> None:
    # localstripe has none: its 404 is no JSON
    status, refused = await ana("POST", SETUP)
    assert (status, refused["code"]) == (503, "stripe_unavailable")


async def test_two_people_do_not_see_each_other(ana: Api, http: aiohttp.ClientSession, program: Program) -> None:
    bob = Api(http, program.base_url, uuid4())
    assert (await ana("PUT", AUTO, PLAN | {"enabled": False}))[0] == 200
    assert (await ana.plan())["amount"] == 20
    assert await bob.plan() == OFF
