"""People and admins over HTTP: their keys, their wallet, their money, and nobody else's."""

import json
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import aiohttp
import pytest
from stripe import WebhookSignature

from runtime.clock import wall_ms
from tests.support.calling import Caller
from tests.support.office import Office
from tests.support.people import Person
from tests.support.program import JWT_SECRET, Program

ADMIN = UUID("0a0a0a0a-0000-4000-8000-000000000001")
NOBODYS_KEY = "0b0b0b0b-0000-4000-8000-000000000002"
SIGNING_SECRET = "whsec_a_secret_of_tests_that_is_long_enough"
KEYS, WALLET = "/api/ai-api/keys", "/api/ai-api/wallet"
BONUS, SET = "/api/ai-api/admin/credits/bonus", "/api/ai-api/admin/credits/set"
WEBHOOK = "/api/ai-api/stripe/webhook"


@pytest.fixture(scope="module")
def sections() -> dict[str, dict[str, Any]]:
    return {
        "identity": {"jwt_secret": JWT_SECRET, "admin_user_ids": [str(ADMIN)]},
        "stripe": {"secret_key": "sk_test_of_a_test", "webhook_secrets": [SIGNING_SECRET]},
        "keys": {
            "max_requests_per_minute": 600,
            "max_tokens_per_minute": 5000,
            "max_concurrent_requests": 7,
            "max_keys_per_user": 4,
            "max_rotation_grace_s": 600,
        },
    }


@pytest.fixture
def program(module_program: Program) -> Program:
    return module_program


@pytest.fixture
def ana(http: aiohttp.ClientSession, program: Program) -> Person:
    return Person(http, program.base_url, uuid4())


@pytest.fixture
def bob(http: aiohttp.ClientSession, program: Program) -> Person:
    return Person(http, program.base_url, uuid4())


@pytest.fixture
def admin(http: aiohttp.ClientSession, program: Program) -> Person:
    return Person(http, program.base_url, ADMIN)


async def test_a_new_key_works_at_once_and_is_refused_as_soon_as_it_is_revoked(
    ana: Person, admin: Person, call: Caller
) -> None:
    assert (await admin("POST", BONUS, {"userId": str(ana.user_id), "amount": 1, "description": "hello"}))[0] == 200
    status, made = await ana("POST", KEYS, {"name": "laptop", "rateLimitPerMinute": 7})
    assert status == 200 and made["success"] is True and len(made["apiKey"]) == 40
    assert made["apiKey"].startswith(made["keyPrefix"])
    auth = {"authorization": f"Bearer {made['apiKey']}"}
    answer = await call.post({"model": "tiny", "messages": [{"role": "user", "content": "x"}]}, headers=auth)
    assert (answer.status, answer.headers["x-ratelimit-limit-requests"]) == (200, "7")
    assert (await ana("DELETE", KEYS, {"keyId": made["id"]}))[0] == 200
    answer = await call.post({"model": "tiny", "messages": [{"role": "user", "content": "x"}]}, headers=auth)
    assert answer.status == 401


async def test_keys_are_listed_newest_first_and_never_with_a_hash(ana: Person) -> None:
    for name in ("one", "two"):
        await ana("POST", KEYS, {"name": name})
    status, listed = await ana("GET", KEYS)
    assert status == 200 and [key["name"] for key in listed["keys"]] == ["two", "one"]
    assert set(listed["keys"][0]) == {
        "id", "key_prefix", "name", "rate_limit_per_minute", "rate_limit_per_day", "is_active", "last_used_at",
        "created_at", "expires_at", "allowed_models", "allowed_routes", "allowed_ips", "tokens_per_minute",
        "max_concurrent_requests", "budget_daily", "budget_monthly", "budget_total", "is_frozen", "rotated_from",
    }  # fmt: skip
    assert (listed["keys"][0]["rate_limit_per_minute"], listed["keys"][0]["rate_limit_per_day"]) == (60, 1000)


async def test_a_key_of_somebody_else_is_not_there(ana: Person, bob: Person) -> None:
    _, made = await ana("POST", KEYS, {"name": "hers"})
    assert (await bob("DELETE", KEYS, {"keyId": made["id"]}))[0] == 404
    assert (await bob("GET", KEYS))[1]["keys"] == []
    assert (await ana("GET", KEYS))[1]["keys"][0]["is_active"] is True


async def test_a_wallet_shows_what_is_in_it_and_what_was_used(
    ana: Person, admin: Person, call: Caller, office: Office
) -> None:
    await admin("POST", BONUS, {"userId": str(ana.user_id), "amount": 2.5, "description": "hello"})
    _, made = await ana("POST", KEYS, {"name": "laptop"})
    auth = {"authorization": f"Bearer {made['apiKey']}"}
    answer = await call.post({"model": "tiny", "messages": [{"role": "user", "content": "x"}]}, headers=auth)
    cost = Decimal(answer.headers["x-farebox-cost"])
    await office.usage(answer.headers["x-request-id"])
    status, seen = await ana("GET", WALLET)
    assert status == 200
    assert seen["wallet"]["balance"] == seen["wallet"]["available"] == Decimal("2.5") - cost
    assert (seen["wallet"]["held"], seen["wallet"]["currency"]) == (0, "USD")
    assert [line["type"] for line in seen["transactions"]] == ["usage", "bonus"]
    assert seen["usageStats"]["totalRequests"] == 1 and seen["usageStats"]["totalCost"] == cost
    assert seen["usageStats"]["byModel"]["tiny"]["cost"] == cost
    assert (await ana("GET", f"{WALLET}?model=other"))[1]["usageStats"]["totalRequests"] == 0
    assert (await ana("GET", f"{WALLET}?limit=1&offset=1"))[1]["transactions"][0]["type"] == "bonus"


async def test_a_wallet_is_made_on_first_use(ana: Person) -> None:
    status, seen = await ana("GET", WALLET)
    assert (status, seen["wallet"]["balance"], seen["transactions"]) == (200, 0, [])


async def test_an_admin_sets_a_balance_and_the_difference_is_written_down(ana: Person, admin: Person) -> None:
    assert (await admin("POST", BONUS, {"userId": str(ana.user_id), "amount": 5, "description": "x"}))[1][
        "balance"
    ] == 5
    status, done = await admin(
        "POST", SET, {"userId": str(ana.user_id), "balance": 1.000000001, "description": "put right"}
    )
    assert (status, done["balance"]) == (200, Decimal("1.000000001"))
    line = (await ana("GET", WALLET))[1]["transactions"][0]
    assert (line["type"], line["amount"]) == ("adjustment", Decimal("-3.999999999"))


async def test_what_is_for_admins_is_not_for_others(ana: Person) -> None:
    body = {"userId": str(ana.user_id), "amount": 5, "description": "for me"}
    assert (await ana("POST", BONUS, body))[0] == 403
    assert (await ana("GET", WALLET))[1]["wallet"]["balance"] == 0


@pytest.mark.parametrize("authorization", ["", "Bearer", "Bearer x.y.z", "Basic YTpi", "Bearer pp_live-" + "x" * 32])
@pytest.mark.parametrize(("method", "path"), [("GET", KEYS), ("POST", KEYS), ("GET", WALLET), ("POST", BONUS)])
async def test_without_a_token_there_is_nothing(ana: Person, authorization: str, method: str, path: str) -> None:
    status, refused = await ana(method, path, headers={"authorization": authorization})
    assert (status, refused["code"]) == (401, "invalid_token")


async def test_a_user_token_is_no_api_key(ana: Person, call: Caller) -> None:
    body = {"model": "tiny", "messages": [{"role": "user", "content": "x"}]}
    assert (await call.post(body, headers=ana.auth)).status == 401


BAD_AMOUNTS = (b"NaN", b"1e309", b"-1", b'"5"', b"0", b"true", b"null", b"1e30", b"0.0000000001", b"[1]", b"9000001")


@pytest.mark.parametrize("amount", BAD_AMOUNTS, ids=repr)
async def test_an_amount_is_a_number_of_dollars(ana: Person, admin: Person, amount: bytes) -> None:
    body = b'{"userId": "%s", "description": "x", "amount": %s}' % (str(ana.user_id).encode(), amount)
    assert (await admin("POST", BONUS, body))[0] == 400
    assert (await ana("GET", WALLET))[1]["wallet"]["balance"] == 0


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"[]", b"\xff", b"[" * 5000, b"{}",
        {"name": ""}, {"name": " "}, {"name": "x" * 101}, {"name": 5}, {"name": None}, {"name": "a\x00b"},
        b'{"name": "\\ud800"}', {"name": "a\u202eb"}, {"name": "x", "colour": "red"},
        {"name": "x", "rateLimitPerMinute": 0}, {"name": "x", "rateLimitPerMinute": 601},
        {"name": "x", "rateLimitPerMinute": 1.5}, {"name": "x", "rateLimitPerMinute": "60"},
        {"name": "x", "rateLimitPerDay": 10**30}, {"name": "x", "rateLimitPerDay": True},
        {"name": "x", "expiresAt": "yesterday"}, {"name": "x", "expiresAt": "2001-01-01"},
        {"name": "x", "expiresAt": 5},
        {"name": "x", "tokensPerMinute": 5001}, {"name": "x", "maxConcurrentRequests": 8},
        {"name": "x", "tokensPerMinute": 0}, {"name": "x", "budgetDaily": -1}, {"name": "x", "budgetTotal": "5"},
        b'{"name": "x", "budgetMonthly": NaN}', b'{"name": "x", "budgetMonthly": 1e309}',
        {"name": "x", "allowedModels": []}, {"name": "x", "allowedModels": "a"},
        {"name": "x", "allowedModels": [["a"]]},
        {"name": "x", "allowedModels": ["a", "a"]}, {"name": "x", "allowedModels": ["a\x00"]},
        {"name": "x", "allowedModels": ["x"] * 10_000},
        {"name": "x", "allowedModels": [f"{n:0200}" for n in range(100)]},
        {"name": "x", "allowedRoutes": ["/etc/passwd"]}, {"name": "x", "allowedIps": ["10.0.0.1/8"]},
        {"name": "x", "is_frozen": False}, {"name": "x", "userId": NOBODYS_KEY},
        {"name": "x", "rotatedFrom": NOBODYS_KEY},
    ],
    ids=lambda body: repr(body)[:60],
)  # fmt: skip
async def test_a_bad_key_is_refused_and_not_made(ana: Person, body: Any) -> None:
    status, refused = await ana("POST", KEYS, body)
    assert status == 400 and set(refused) == {"error", "code"}
    assert (await ana("GET", KEYS))[1]["keys"] == []


async def test_what_users_ask_for_is_bounded_by_the_configuration(ana: Person) -> None:
    _, made = await ana("POST", KEYS, {"name": "x"})
    shown = (await ana("GET", KEYS))[1]["keys"][0]
    assert (shown["tokens_per_minute"], shown["max_concurrent_requests"]) == (5000, 7), "as much as there is"
    less = {"keyId": made["id"], "tokensPerMinute": 10, "maxConcurrentRequests": 1}
    assert (await ana("PATCH", KEYS, less))[1]["key"]["tokens_per_minute"] == 10
    for more in ({"rateLimitPerMinute": 601}, {"tokensPerMinute": 5001}, {"maxConcurrentRequests": 8}):
        assert (await ana("PATCH", KEYS, {"keyId": made["id"]} | more))[0] == 400
    assert (await ana("POST", f"{KEYS}/rotate", {"keyId": made["id"], "graceSeconds": 601}))[0] == 400
    freed = (await ana("PATCH", KEYS, {"keyId": made["id"], "tokensPerMinute": None}))[1]["key"]
    assert (freed["tokens_per_minute"], freed["max_concurrent_requests"]) == (5000, 1)
    assert freed["rotated_from"] is None and len((await ana("GET", KEYS))[1]["keys"]) == 1


async def test_a_user_has_so_many_keys_and_no_more(ana: Person, bob: Person) -> None:
    made = [(await ana("POST", KEYS, {"name": str(n)}))[1] for n in range(4)]
    status, refused = await ana("POST", KEYS, {"name": "one too many"})
    assert (status, refused["code"]) == (409, "too_many_keys")
    assert (await bob("POST", KEYS, {"name": "his"}))[0] == 200
    assert (await ana("POST", f"{KEYS}/rotate", {"keyId": made[0]["id"]}))[0] == 200, "at the limit too"
    assert (await ana("DELETE", KEYS, {"keyId": made[1]["id"]}))[0] == 200
    assert (await ana("POST", KEYS, {"name": "there is room"}))[0] == 200


async def test_a_name_may_be_in_any_language_and_is_never_sql(ana: Person) -> None:
    for name in ("Schlüssel für Zürich 🔑", "'; DROP TABLE ai_api_keys; --"):
        assert (await ana("POST", KEYS, {"name": name}))[0] == 200
        assert (await ana("GET", KEYS))[1]["keys"][0]["name"] == name


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=-1", "limit=x", "limit=" + "9" * 20, "offset=-1", "startDate=x", "endDate=0", "colour=red"],
)
async def test_a_bad_query_is_refused(ana: Person, query: str) -> None:
    assert (await ana("GET", f"{WALLET}?{query}"))[0] == 400


@pytest.mark.parametrize("key_id", ["x", "", 5, None, NOBODYS_KEY, f"{{{NOBODYS_KEY}}}"])
async def test_an_id_that_is_none_revokes_nothing(ana: Person, key_id: Any) -> None:
    assert (await ana("DELETE", KEYS, {"keyId": key_id}))[0] in (400, 404)


async def test_a_body_that_no_request_needs_is_refused(ana: Person) -> None:
    assert (await ana("POST", KEYS, {"name": "x" * 100_000}))[0] == 413


async def test_a_payment_that_stripe_signed_for_is_credited_once(ana: Person, http: aiohttp.ClientSession) -> None:
    wallet = (await ana("GET", WALLET))[1]["wallet"]
    session = {
        "id": f"cs_test_{uuid4().hex}",
        "object": "checkout.session",
        "payment_status": "paid",
        "payment_intent": f"pi_{uuid4().hex}",
        "amount_total": 1250,
        "currency": "usd",
        "mode": "payment",
        "metadata": {"farebox": "1", "user_id": str(ana.user_id), "wallet_id": wallet["id"]},
    }
    event = {
        "id": f"evt_{uuid4().hex}",
        "object": "event",
        "type": "checkout.session.completed",
        "livemode": False,
        "created": wall_ms() // 1000,
        "api_version": "2026-10-28.endive",
        "data": {"object": session},
    }
    payload = json.dumps(event)
    signature = signed(payload)
    for _ in range(2):
        status, heard = await ana("POST", WEBHOOK, payload.encode(), headers={"stripe-signature": signature})
        assert (status, heard) == (200, {"received": True})
    assert (await ana("GET", WALLET))[1]["wallet"]["balance"] == Decimal("12.5")
    forged = signature[:-1] + ("0" if signature[-1] != "0" else "1")
    for wrong in ({"stripe-signature": forged}, {"stripe-signature": ""}, {}):
        assert (await ana("POST", WEBHOOK, payload.encode(), headers=wrong))[0] == 400


def signed(payload: str) -> str:
    now_s = wall_ms() // 1000
    return f"t={now_s},v1={WebhookSignature._compute_signature(f'{now_s}.{payload}', SIGNING_SECRET)}"


@pytest.mark.parametrize("amount", [b"0", b"1000.01", b"1.001", b"NaN", b'"5"'])
async def test_what_cannot_be_charged_is_refused_before_stripe_is_asked(ana: Person, amount: bytes) -> None:
    status, refused = await ana("POST", "/api/ai-api/stripe/checkout", b'{"amount": ' + amount + b"}")
    assert (status, set(refused)) == (400, {"error", "code"})


async def test_the_books_hold_after_all_of_it(office: Office) -> None:
    await office.settled()
