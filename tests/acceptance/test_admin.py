"""Administrators over HTTP, at a port of their own: what they do is felt at once, everywhere, and written down."""

import asyncio
import json
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import aiohttp
import pytest

from tests.support.calling import Caller, chat
from tests.support.installation import free_port
from tests.support.ledger import USD
from tests.support.office import Office
from tests.support.people import Person
from tests.support.program import JWT_SECRET, Program

ADMIN = UUID("0a0a0a0a-0000-4000-8000-000000000001")
NOBODY = "0b0b0b0b-0000-4000-8000-000000000002"
AT = "/api/ai-api/admin"
REFUND, FREEZE, OVERDRAFT = f"{AT}/credits/refund", f"{AT}/wallets/freeze", f"{AT}/wallets/overdraft"
BONUS, SET = f"{AT}/credits/bonus", f"{AT}/credits/set"
FREEZE_KEY, REVOKE_KEY = f"{AT}/keys/freeze", f"{AT}/keys/revoke"
USERS, LOG = f"{AT}/users", f"{AT}/log"
ROUTES = [
    ("POST", BONUS), ("POST", SET), ("POST", REFUND), ("POST", FREEZE), ("POST", OVERDRAFT),
    ("POST", FREEZE_KEY), ("POST", REVOKE_KEY), ("GET", USERS), ("GET", f"{USERS}/{NOBODY}"), ("GET", LOG),
]  # fmt: skip


@pytest.fixture(scope="module")
def sections() -> dict[str, dict[str, Any]]:
    return {
        "identity": {"jwt_secret": JWT_SECRET, "admin_user_ids": [str(ADMIN)]},
        "listen": {"admin": {"port": 0}, "admin_on_public_port": False},
    }


@pytest.fixture
def program(module_program: Program) -> Program:
    return module_program


def admin_url(program: Program) -> str:
    """Of the program's first proxy."""
    lines = [json.loads(line) for line in program.logs().splitlines() if '"event":"serving_admin"' in line]
    return str(lines[0]["address"])


@pytest.fixture
def admin(http: aiohttp.ClientSession, program: Program) -> Person:
    return Person(http, admin_url(program), ADMIN)


@pytest.fixture
def outside(http: aiohttp.ClientSession, program: Program) -> Person:
    """The same administrator, at everybody's port."""
    return Person(http, program.base_url, ADMIN)


@pytest.fixture
def ana(http: aiohttp.ClientSession, program: Program) -> Person:
    return Person(http, program.base_url, uuid4())


@pytest.fixture(autouse=True)
async def books(office: Office) -> AsyncIterator[None]:
    yield
    await office.settled()


async def acts(admin: Person, user_id: UUID) -> list[str]:
    """What was done to a user by this administrator, oldest first."""
    status, page = await admin("GET", f"{LOG}?userId={user_id}&actor={ADMIN}")
    assert status == 200
    return [act["action"] for act in page["log"]][::-1]


# Two ports


@pytest.mark.parametrize(("method", "path"), ROUTES)
async def test_what_is_for_administrators_is_at_their_port_only(
    admin: Person, outside: Person, method: str, path: str
) -> None:
    assert (await outside(method, path))[0] == 404
    assert (await admin(method, path))[0] in (200, 400, 404)
    assert (await admin(method, path, headers={"authorization": ""}))[0] == 401


async def test_nothing_else_is_at_their_port(admin: Person, outside: Person, call: Caller) -> None:
    for method, path in (("GET", "/api/ai-api/keys"), ("GET", "/api/ai-api/wallet"), ("GET", "/v1/models")):
        assert (await admin(method, path))[0] == 404
    assert (await admin("POST", "/v1/chat/completions", chat()))[0] == 404
    for health in ("/healthz", "/readyz"):
        assert (await admin("GET", health))[0] == (await outside("GET", health))[0] == 200


async def test_each_port_describes_its_own(admin: Person, outside: Person) -> None:
    described = [set((await who("GET", "/api/ai-api/openapi.json"))[1]["paths"]) for who in (admin, outside)]
    assert all(path in described[0] for path in (BONUS, LOG, f"{USERS}/{{userId}}"))
    assert "/api/ai-api/wallet" in described[1] and not any(path.startswith(AT) for path in described[1])


async def test_several_workers_share_both_ports(program: Program, http: aiohttp.ClientSession) -> None:
    port, admin_port = free_port(), free_port()
    child, base_url = await program.start_workers(2, port, admin={"port": admin_port}, admin_on_public_port=False)
    admins = Person(http, f"http://127.0.0.1:{admin_port}", ADMIN)
    for _ in range(8):
        assert (await admins("GET", LOG))[0] == 200
    assert (await Person(http, base_url, ADMIN)("GET", LOG))[0] == 404
    assert await child.stop() == 0


async def test_a_port_that_is_taken_is_said_by_its_setting(program: Program, tmp_path: Any) -> None:
    taken = int(admin_url(program).rpartition(":")[2])
    other = Program(
        tmp_path,
        program.database_url,
        program.redis_url,
        {"listen": {"admin": {"port": taken}, "admin_on_public_port": False}},
    )
    other.write_config()
    for workers in ("1", "2"):
        code, said = await other.run_to_end("serve", "--workers", workers)
        (line,) = said.splitlines()
        assert code == 1 and line.startswith(f"farebox: listen.admin: cannot listen on 127.0.0.1 port {taken}"), said
    await other.stop()


# Who may


@pytest.mark.parametrize(("method", "path"), ROUTES)
async def test_what_is_for_administrators_is_not_for_others(
    http: aiohttp.ClientSession, program: Program, method: str, path: str
) -> None:
    eve = Person(http, admin_url(program), uuid4())
    status, refused = await eve(method, path, {"userId": str(eve.user_id), "amount": 5} if method == "POST" else None)
    assert (status, refused["code"]) == (403, "forbidden")


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (REFUND, {"userId": NOBODY, "amount": 1, "description": "x"}),
        (FREEZE, {"userId": NOBODY, "frozen": True, "reason": "x"}),
        (OVERDRAFT, {"userId": NOBODY, "overdraft": 1, "reason": "x"}),
        (FREEZE_KEY, {"keyId": NOBODY, "frozen": True, "reason": "x"}),
        (REVOKE_KEY, {"keyId": NOBODY, "reason": "x"}),
    ],
)
async def test_who_does_not_exist_is_not_found_and_not_made(
    admin: Person, office: Office, path: str, body: dict[str, Any]
) -> None:
    status, refused = await admin("POST", path, body)
    assert (status, refused["code"]) == (404, "key_not_found" if "keyId" in body else "wallet_not_found")
    for user in (NOBODY, "x", f"{{{NOBODY}}}", f"{NOBODY}/x", "%00"):
        assert (await admin("GET", f"{USERS}/{user}"))[0] == 404
    assert await office.pool.fetchval("SELECT count(*) FROM ai_wallets WHERE user_id = $1", UUID(NOBODY)) == 0


# Freezing


async def statuses(call: Caller, office_key: dict[str, str], *urls: str) -> list[tuple[int, str]]:
    """What each proxy answers to this key: status, and the error's code."""
    answers = await asyncio.gather(*(call.post(chat(), base_url=url, headers=office_key) for url in urls))
    return [(answer.status, "" if answer.status == 200 else answer.error["code"]) for answer in answers]


async def test_a_frozen_wallet_spends_nothing_at_any_proxy_until_it_is_let_go(
    admin: Person, office: Office, call: Caller, second_proxy: str
) -> None:
    customer = await office.customer()
    urls = (call.program.base_url, second_proxy)
    assert await statuses(call, customer.auth, *urls) == [(200, "")] * 2
    body = {"userId": str(customer.user_id), "frozen": True, "reason": "chargeback"}
    for changed in (True, False):
        status, done = await admin("POST", FREEZE, body)
        assert (status, done["frozen"], done["changed"]) == (200, True, changed)
    assert await statuses(call, customer.auth, *urls) == [(403, "wallet_frozen")] * 2
    assert (await admin("POST", FREEZE, body | {"frozen": False}))[1]["changed"] is True
    assert await statuses(call, customer.auth, *urls) == [(200, "")] * 2
    assert await acts(admin, customer.user_id) == ["wallet.freeze", "wallet.unfreeze"]


async def test_a_frozen_key_is_refused_at_any_proxy_and_its_owner_cannot_let_it_go(
    admin: Person, http: aiohttp.ClientSession, office: Office, call: Caller, second_proxy: str
) -> None:
    customer = await office.customer()
    owner = Person(http, call.program.base_url, customer.user_id)
    urls = (call.program.base_url, second_proxy)
    assert await statuses(call, customer.auth, *urls) == [(200, "")] * 2
    body = {"keyId": str(customer.key_id), "frozen": True, "reason": "leaked"}
    assert (await admin("POST", FREEZE_KEY, body))[1]["changed"] is True
    assert await statuses(call, customer.auth, *urls) == [(403, "key_frozen")] * 2
    assert (await owner("POST", FREEZE_KEY, body | {"frozen": False}))[0] == 404
    assert await statuses(call, customer.auth, *urls) == [(403, "key_frozen")] * 2
    assert (await admin("POST", FREEZE_KEY, body | {"frozen": False}))[1]["changed"] is True
    assert await statuses(call, customer.auth, *urls) == [(200, "")] * 2
    assert await acts(admin, customer.user_id) == ["key.freeze", "key.unfreeze"]


async def test_a_revoked_key_is_refused_at_any_proxy(
    admin: Person, office: Office, call: Caller, second_proxy: str
) -> None:
    customer = await office.customer()
    urls = (call.program.base_url, second_proxy)
    assert await statuses(call, customer.auth, *urls) == [(200, "")] * 2
    for changed in (True, False):
        status, done = await admin("POST", REVOKE_KEY, {"keyId": str(customer.key_id), "reason": "leaked"})
        assert (status, done["changed"]) == (200, changed)
    assert await statuses(call, customer.auth, *urls) == [(401, "invalid_api_key")] * 2
    assert await acts(admin, customer.user_id) == ["key.revoke"]


# Money


async def test_a_request_is_refunded_once(admin: Person, office: Office, call: Caller) -> None:
    customer, other = await office.customer(), await office.customer()
    answer = await call.ask(customer, chat())
    cost = Decimal(answer.headers["x-farebox-cost"])
    await office.usage(answer.request_id)
    body = {"userId": str(customer.user_id), "amount": float(cost), "description": "x", "requestId": answer.request_id}
    assert (await admin("POST", REFUND, body | {"userId": str(other.user_id)}))[1]["code"] == "request_not_found"
    assert (await admin("POST", REFUND, body | {"requestId": NOBODY}))[1]["code"] == "request_not_found"
    ended = await asyncio.gather(*(admin("POST", REFUND, body) for _ in range(5)))
    assert sorted(status for status, _ in ended) == [200, 409, 409, 409, 409]
    assert {refused["code"] for status, refused in ended if status == 409} == {"refund_too_large"}
    assert await office.balance_nanos(customer) == customer.start_nanos
    assert await acts(admin, customer.user_id) == ["credits.refund"]


async def test_a_refund_for_nothing_in_particular(admin: Person, office: Office, call: Caller) -> None:
    customer = await office.customer()
    await call.ask(customer, chat())
    body = {"userId": str(customer.user_id), "amount": 0.000000001, "description": "goodwill"}
    assert (await admin("POST", REFUND, body))[0] == 200
    line = await office.pool.fetchrow(
        "SELECT amount, description, metadata FROM ai_transactions WHERE wallet_id = $1 AND type = 'refund'",
        customer.wallet_id,
    )
    assert line is not None and (line["amount"], line["description"]) == (Decimal("0.000000001"), "goodwill")
    assert json.loads(line["metadata"]) == {"by": str(ADMIN)}


async def test_an_overdraft_can_be_spent_at_once_and_not_taken_back_while_it_is(
    admin: Person, office: Office, call: Caller
) -> None:
    customer = await office.customer(0)
    body = {"userId": str(customer.user_id), "overdraft": 5, "reason": "pays by invoice"}
    assert (await call.ask(customer, chat())).status == 402
    status, done = await admin("POST", OVERDRAFT, body)
    assert (status, done["overdraft"], done["balance"]) == (200, 5, 0)
    answer = await call.ask(customer, chat())
    assert answer.status == 200
    await office.usage(answer.request_id)
    status, refused = await admin("POST", OVERDRAFT, body | {"overdraft": 0})
    assert (status, refused["code"]) == (409, "overdraft_in_use")
    assert await office.balance_nanos(customer) < 0
    assert await acts(admin, customer.user_id) == ["wallet.overdraft"]


NO_AMOUNTS = (b"NaN", b"1e309", b"-1", b'"5"', b"true", b"null", b"1e30", b"0.0000000001", b"[1]", b"9000001")
BAD_TEXTS = (b'""', b'" "', b"5", b"null", b'"a\\u0000b"', b'"\\ud800"', b'"' + b"x" * 501 + b'"', b'"a\\u202eb"')


@pytest.mark.parametrize(
    ("path", "field", "values"),
    [
        (REFUND, "amount", (*NO_AMOUNTS, b"0")), (OVERDRAFT, "overdraft", NO_AMOUNTS),
        (REFUND, "description", BAD_TEXTS), (OVERDRAFT, "reason", BAD_TEXTS), (FREEZE, "reason", BAD_TEXTS),
        (FREEZE, "frozen", (b"1", b'"true"', b"null", b"[]")),
        (REFUND, "requestId", (b'"x"', b"5", b'"%s"' % (b"0" * 36))),
        (REFUND, "userId", (b'"x"', b"5", b"null", b'"%s"' % (b"9" * 5000))), (FREEZE, "colour", (b'"red"',)),
    ],
)  # fmt: skip
async def test_bad_input_is_refused_and_changes_nothing(
    admin: Person, office: Office, path: str, field: str, values: tuple[bytes, ...]
) -> None:
    customer = await office.customer(USD)
    good = {
        REFUND: {"amount": b"1", "description": b'"x"'},
        OVERDRAFT: {"overdraft": b"1", "reason": b'"x"'},
        FREEZE: {"frozen": b"true", "reason": b'"x"'},
    }[path] | {"userId": b'"%s"' % str(customer.user_id).encode()}
    for value in values:
        fields = good | {field: value}
        body = b"{%s}" % b", ".join(b'"%s": %s' % (name.encode(), given) for name, given in fields.items())
        status, refused = await admin("POST", path, body)
        assert (status, set(refused)) == (400, {"error", "code"}), (value, refused)
    assert await office.untouched(customer) and await acts(admin, customer.user_id) == []


# What is seen


async def test_users_are_listed_by_balance_and_by_what_they_spent(admin: Person, office: Office, call: Caller) -> None:
    rich, busy = await office.customer(8_000_000 * USD), await office.customer(USD)
    answer = await call.ask(busy, chat())
    cost = Decimal(answer.headers["x-farebox-cost"])
    await office.usage(answer.request_id)
    status, page = await admin("GET", f"{USERS}?sort=balance&limit=1")
    assert status == 200 and page["users"][0]["userId"] == str(rich.user_id) and page["nextCursor"]
    seen, cursor = dict[str, Any](), ""
    while True:
        status, page = await admin("GET", f"{USERS}?sort=spend&limit=2{cursor}")
        assert status == 200 and not seen.keys() & {user["userId"] for user in page["users"]}
        seen |= {user["userId"]: user for user in page["users"]}
        if page["nextCursor"] is None:
            break
        cursor = f"&cursor={page['nextCursor']}"
    found = seen[str(busy.user_id)]
    assert (found["spent"], found["requests"], found["balance"], found["frozen"]) == (cost, 1, 1 - cost, False)
    assert seen[str(rich.user_id)]["spent"] == 0
    spent = [user["spent"] for user in seen.values()]
    assert spent == sorted(spent, reverse=True)


async def test_one_user_in_full(admin: Person, office: Office, call: Caller) -> None:
    customer = await office.customer(2 * USD)
    answer = await call.ask(customer, chat())
    await office.usage(answer.request_id)
    await admin("POST", FREEZE_KEY, {"keyId": str(customer.key_id), "frozen": True, "reason": "leaked"})
    status, seen = await admin("GET", f"{USERS}/{customer.user_id}")
    assert (status, seen["userId"]) == (200, str(customer.user_id))
    cost = Decimal(answer.headers["x-farebox-cost"])
    assert (seen["wallet"]["id"], seen["wallet"]["balance"]) == (str(customer.wallet_id), 2 - cost)
    assert (seen["wallet"]["frozen"], seen["usageStats"]["totalCost"]) == (False, cost)
    (key,) = seen["keys"]
    assert (key["id"], key["active"], key["frozen"]) == (str(customer.key_id), True, True)
    assert customer.key not in str(seen) and "hash" not in str(seen)
    assert [line["type"] for line in seen["transactions"]] == ["usage", "bonus"]
    assert (seen["log"][0]["action"], seen["log"][0]["reason"]) == ("key.freeze", "leaked")


async def test_the_log_says_who_what_before_after_and_why(admin: Person, ana: Person) -> None:
    body = {"userId": str(ana.user_id), "amount": 2.5, "description": "welcome, Ana 🎉"}
    await admin("POST", BONUS, body)
    await admin("POST", SET, {"userId": str(ana.user_id), "balance": 1, "description": "put right"})
    status, page = await admin("GET", f"{LOG}?userId={ana.user_id}&limit=1")
    assert status == 200 and [act["action"] for act in page["log"]] == ["credits.set"]
    status, page = await admin("GET", f"{LOG}?userId={ana.user_id}&limit=1&cursor={page['nextCursor']}")
    (act,) = page["log"]
    assert page["nextCursor"] is None
    assert (act["actor"], act["action"], act["targetKind"]) == (str(ADMIN), "credits.bonus", "wallet")
    assert (act["before"], act["after"]["balance"]) == ({"balance": "0"}, "2.5")
    assert (act["userId"], act["reason"]) == (str(ana.user_id), "welcome, Ana 🎉")
    assert (await admin("GET", f"{LOG}?userId={ana.user_id}&action=credits.bonus"))[1]["log"] == [act]
    assert (await admin("GET", f"{LOG}?userId={ana.user_id}&endDate=2001-01-01"))[1]["log"] == []
    assert (await admin("GET", f"{LOG}?actor=4711"))[1]["log"] == []


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=1001", "cursor=x", "colour=red", "sort=name", "order=up", "since=x", "sort=spend&sort=spend"],
)
async def test_a_bad_question_about_users_is_refused(admin: Person, query: str) -> None:
    status, refused = await admin("GET", f"{USERS}?{query}")
    assert (status, refused["code"]) == (400, "invalid_request")


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=1001", "cursor=x", "colour=red", "userId=x", "action=x", "action=A.B", "actor=%00", "actor=",
     "startDate=x", "startDate=2026-02-01&endDate=2026-01-01", f"actor={'x' * 201}"],
)  # fmt: skip
async def test_a_bad_question_about_the_log_is_refused(admin: Person, query: str) -> None:
    status, refused = await admin("GET", f"{LOG}?{query}")
    assert (status, refused["code"]) == (400, "invalid_request")
