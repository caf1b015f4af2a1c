"""A person changes and rotates their own keys over HTTP; what the gateway does with them, in every proxy."""

from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import aiohttp
import pytest

from tests.support.calling import Caller, chat
from tests.support.office import Office
from tests.support.people import Person
from tests.support.program import TINY, Program

KEYS, ROTATE = "/api/ai-api/keys", "/api/ai-api/keys/rotate"
NOBODYS_KEY = "0b0b0b0b-0000-4000-8000-000000000002"
ONE_TOKEN = chat(simulate={"tokens": 1})
EVERYTHING = {
    "rateLimitPerMinute": 50,
    "rateLimitPerDay": 500,
    "expiresAt": "2099-01-02T03:04:05Z",
    "allowedModels": [TINY, "gpt-*"],
    "allowedRoutes": ["/v1/chat/completions"],
    "allowedIps": ["127.0.0.0/8", "::1"],
    "tokensPerMinute": 100_000,
    "maxConcurrentRequests": 9,
    "budgetDaily": 1,
    "budgetMonthly": 2.000000001,
    "budgetTotal": 9_000_000,
}
SHOWN = {
    "rate_limit_per_minute": 50,
    "rate_limit_per_day": 500,
    "expires_at": "2099-01-02T03:04:05+00:00",
    "allowed_models": [TINY, "gpt-*"],
    "allowed_routes": ["/v1/chat/completions"],
    "allowed_ips": ["127.0.0.0/8", "::1"],
    "tokens_per_minute": 100_000,
    "max_concurrent_requests": 9,
    "budget_daily": 1,
    "budget_monthly": Decimal("2.000000001"),
    "budget_total": 9_000_000,
}


@pytest.fixture
async def ana(http: aiohttp.ClientSession, program: Program, office: Office) -> Person:
    """With a dollar to spend."""
    user_id = uuid4()
    await office.wallets.give_bonus(user_id, 10**9, "to start with", "a test")
    return Person(http, program.base_url, user_id)


@pytest.fixture
def bob(http: aiohttp.ClientSession, program: Program) -> Person:
    return Person(http, program.base_url, uuid4())


async def made(api: Person, **settings: Any) -> dict[str, Any]:
    status, answer = await api("POST", KEYS, {"name": "laptop"} | settings)
    assert status == 200, answer
    return dict(answer)


async def shown(api: Person, key_id: str) -> dict[str, Any]:
    (key,) = [key for key in (await api("GET", KEYS))[1]["keys"] if key["id"] == key_id]
    return dict(key)


async def statuses(call: Caller, key: str, *base_urls: str) -> list[int]:
    auth = {"authorization": f"Bearer {key}"}
    return [(await call.post(ONE_TOKEN, base_url=base_url, headers=auth)).status for base_url in base_urls]


async def test_a_key_is_shown_with_all_that_was_asked_for(ana: Person, call: Caller, program: Program) -> None:
    key = await made(ana, **EVERYTHING)
    listed = await shown(ana, key["id"])
    assert listed.items() >= (SHOWN | {"is_active": True, "is_frozen": False, "rotated_from": None}).items()
    assert await statuses(call, key["apiKey"], program.base_url) == [200]


async def test_null_takes_a_restriction_away_and_what_is_left_out_stays(ana: Person) -> None:
    key = await made(ana, **EVERYTHING)
    status, answer = await ana("PATCH", KEYS, {"keyId": key["id"], "name": "desk", "allowedIps": None})
    assert status == 200 and answer["key"].items() >= (SHOWN | {"name": "desk", "allowed_ips": None}).items()
    gone = {name: None for name in EVERYTHING if not name.startswith("rateLimit")}
    status, answer = await ana("PATCH", KEYS, {"keyId": key["id"]} | gone)
    assert {name for name, value in answer["key"].items() if value is None} == {
        *SHOWN.keys() - {"rate_limit_per_minute", "rate_limit_per_day"},
        "last_used_at",
        "rotated_from",
    }
    assert answer["key"] == await shown(ana, key["id"])


async def test_a_change_is_felt_by_every_proxy_on_the_next_request(
    ana: Person, call: Caller, program: Program, second_proxy: str
) -> None:
    key = await made(ana)
    both = (program.base_url, second_proxy)
    assert await statuses(call, key["apiKey"], *both) == [200, 200]
    assert (await ana("PATCH", KEYS, {"keyId": key["id"], "allowedModels": ["another"]}))[0] == 200
    assert await statuses(call, key["apiKey"], *both) == [403, 403]
    assert (await ana("PATCH", KEYS, {"keyId": key["id"], "allowedModels": None}))[0] == 200
    assert await statuses(call, key["apiKey"], *both) == [200, 200]


async def test_a_rotated_key_and_its_successor_both_work_within_the_grace_period(
    ana: Person, call: Caller, program: Program, second_proxy: str
) -> None:
    old = await made(ana, **EVERYTHING)
    both = (program.base_url, second_proxy)
    assert await statuses(call, old["apiKey"], *both) == [200, 200]
    status, new = await ana("POST", ROTATE, {"keyId": old["id"], "graceSeconds": 600})
    assert status == 200 and new["success"] is True and new["oldKeyId"] == old["id"]
    assert new["apiKey"] != old["apiKey"] and new["apiKey"].startswith(new["keyPrefix"])
    assert await statuses(call, old["apiKey"], *both) == [200, 200]
    assert await statuses(call, new["apiKey"], *both) == [200, 200]
    listed = await shown(ana, new["id"])
    assert listed.items() >= (SHOWN | {"name": "laptop", "rotated_from": old["id"]}).items()
    assert (await shown(ana, old["id"]))["expires_at"] == new["oldKeyEndsAt"]
    assert (await ana("DELETE", KEYS, {"keyId": old["id"]}))[0] == 200
    assert await statuses(call, old["apiKey"], *both) == [401, 401]
    assert await statuses(call, new["apiKey"], *both) == [200, 200]


async def test_without_grace_the_old_key_is_refused_by_every_proxy_on_its_next_request(
    ana: Person, call: Caller, program: Program, second_proxy: str
) -> None:
    old = await made(ana)
    both = (program.base_url, second_proxy)
    assert await statuses(call, old["apiKey"], *both) == [200, 200]
    _, new = await ana("POST", ROTATE, {"keyId": old["id"], "graceSeconds": 0})
    assert await statuses(call, old["apiKey"], *both) == [401, 401]
    assert await statuses(call, new["apiKey"], *both) == [200, 200]


@pytest.mark.parametrize(
    ("how", "code"),
    [
        ("is_active = false", "key_revoked"),
        ("expires_at = now()", "key_expired"),
        ("is_frozen = true", "key_frozen"),
    ],
)
async def test_a_key_that_is_not_in_force_is_not_brought_back(ana: Person, office: Office, how: str, code: str) -> None:
    key = await made(ana)
    await office.pool.execute(f"UPDATE ai_api_keys SET {how} WHERE id = $1", UUID(key["id"]))
    before = await shown(ana, key["id"])
    for method, path, body in (
        ("POST", ROTATE, {}),
        ("PATCH", KEYS, {"name": "x"}),
        ("PATCH", KEYS, {"expiresAt": None}),
        ("PATCH", KEYS, {"expiresAt": "2099-01-01"}),
    ):
        status, refused = await ana(method, path, {"keyId": key["id"]} | body)
        assert (status, refused["code"]) == (409, code)
    assert await shown(ana, key["id"]) == before


async def test_a_key_is_rotated_once(ana: Person) -> None:
    key = await made(ana)
    assert (await ana("POST", ROTATE, {"keyId": key["id"]}))[0] == 200
    status, refused = await ana("POST", ROTATE, {"keyId": key["id"]})
    assert (status, refused["code"]) == (409, "key_replaced")
    assert (await ana("PATCH", KEYS, {"keyId": key["id"], "expiresAt": None}))[1]["code"] == "key_replaced"
    assert len((await ana("GET", KEYS))[1]["keys"]) == 2


async def test_keys_of_somebody_else_are_not_there(ana: Person, bob: Person) -> None:
    key = await made(ana, **EVERYTHING)
    before = await shown(ana, key["id"])
    for key_id in (key["id"], NOBODYS_KEY):
        for method, path, body in (("PATCH", KEYS, {"name": "mine"}), ("POST", ROTATE, {}), ("DELETE", KEYS, {})):
            status, refused = await bob(method, path, {"keyId": key_id} | body)
            assert (status, refused) == (404, {"error": "there is no such key", "code": "key_not_found"})
    assert await shown(ana, key["id"]) == before
    assert (await bob("GET", KEYS))[1]["keys"] == []


BAD: list[Any] = [
    {}, {"keyId": None}, {"keyId": ""}, {"keyId": 5}, {"keyId": ["x"]}, {"keyId": "x' OR '1'='1"}, [],
    b"{", b"\xff", b"",
]  # fmt: skip
BAD_CHANGES: list[dict[str, Any]] = [
    {}, {"name": None}, {"name": ""}, {"name": "a\u202eb"}, {"name": "x" * 101}, {"rateLimitPerMinute": None},
    {"rateLimitPerMinute": 0}, {"rateLimitPerDay": 10**30}, {"rateLimitPerMinute": 6001}, {"expiresAt": "2001-01-01"},
    {"expiresAt": "infinity"}, {"allowedModels": []}, {"allowedModels": {}}, {"allowedModels": ["a", "a"]},
    {"allowedModels": ["x"] * 10_000}, {"allowedModels": ["a*b"]}, {"allowedModels": [None]},
    {"allowedRoutes": ["/v1/../x"]}, {"allowedRoutes": [["/v1/chat/completions"]]}, {"allowedIps": ["10.0.0.1/8"]},
    {"allowedIps": ["::1%lo"]}, {"allowedIps": ["10.0.0.1", "::ffff:10.0.0.1"]}, {"tokensPerMinute": -1},
    {"tokensPerMinute": 1.5}, {"maxConcurrentRequests": True}, {"maxConcurrentRequests": 10**6}, {"budgetDaily": -0.5},
    {"budgetDaily": "1"}, {"budgetDaily": 0}, {"budgetTotal": 1e-10}, {"budgetMonthly": [1]}, {"is_active": True},
    {"isFrozen": False}, {"userId": NOBODYS_KEY}, {"graceSeconds": 5},
]  # fmt: skip


async def test_what_makes_no_sense_changes_nothing(ana: Person) -> None:
    key = await made(ana, **EVERYTHING)
    before = (await ana("GET", KEYS))[1]
    answers = [await ana(method, path, body) for body in BAD for method, path in (("PATCH", KEYS), ("POST", ROTATE))]
    answers += [await ana("PATCH", KEYS, {"keyId": key["id"]} | change) for change in BAD_CHANGES]
    answers += [
        await ana("POST", ROTATE, {"keyId": key["id"], "graceSeconds": grace})
        for grace in (-1, 1.5, "60", True, [60], 604_801, 10**30)
    ]
    answers += [
        await ana("PATCH", KEYS, b'{"keyId": "%s", "budgetDaily": %s}' % (key["id"].encode(), number))
        for number in (b"NaN", b"Infinity", b"1e309", b"-1e999", b"9" * 400)
    ]
    for status, refused in answers:
        assert status == 400 and set(refused) == {"error", "code"} and len(refused["error"]) < 300, refused
    assert (await ana("GET", KEYS))[1] == before


async def test_nobody_does_it_without_a_token(ana: Person) -> None:
    key = await made(ana)
    for authorization in ("", f"Bearer {key['apiKey']}"):
        for method, path in (("PATCH", KEYS), ("POST", ROTATE)):
            body = {"keyId": key["id"], **({"name": "x"} if method == "PATCH" else {})}
            assert (await ana(method, path, body, headers={"authorization": authorization}))[0] == 401
    assert (await shown(ana, key["id"]))["name"] == "laptop"
