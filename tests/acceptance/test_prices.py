"""Prices by SQL and over HTTP: in force at once for requests that begin, never for those that run."""

import json
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import aiohttp
import pytest

from accounts.identity import mint_token
from runtime.clock import wall_ms
from tests.support.calling import PROMPT_TOKENS, Caller, chat
from tests.support.ledger import USD, until
from tests.support.office import RATES, Customer, Office, Rate, nanos
from tests.support.program import JWT_SECRET, OUTPUT_ONLY, TINY, UNPRICED, Program

ADMIN = UUID("0a0a0a0a-0000-4000-8000-000000000001")
NOBODYS_PRICE = "0b0b0b0b-0000-4000-8000-000000000002"
PRICES, ADMIN_PRICES = "/api/ai-api/prices", "/api/ai-api/admin/prices"
DEACTIVATE = f"{ADMIN_PRICES}/deactivate"
TOKENS = 7


@pytest.fixture(scope="module")
def sections() -> dict[str, dict[str, Any]]:
    return {"identity": {"jwt_secret": JWT_SECRET, "admin_user_ids": [str(ADMIN)]}}


@pytest.fixture
def program(module_program: Program) -> Program:
    """On a database of this module's own: its prices are nobody else's."""
    return module_program


class Api:
    """What a browser of one person does."""

    def __init__(self, http: aiohttp.ClientSession, base_url: str, user_id: UUID) -> None:
        self._http = http
        self._base_url = base_url
        self._auth = {"authorization": f"Bearer {mint_token(user_id, JWT_SECRET, now_ms=wall_ms())}"}

    async def __call__(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        async with self._http.request(method, self._base_url + path, data=data, headers=self._auth) as answer:
            return answer.status, json.loads(await answer.read(), parse_float=Decimal)


@pytest.fixture
def admin(http: aiohttp.ClientSession, program: Program) -> Api:
    return Api(http, program.base_url, ADMIN)


@pytest.fixture
def ana(http: aiohttp.ClientSession, program: Program) -> Api:
    return Api(http, program.base_url, uuid4())


async def cost_of(call: Caller, customer: Customer, model: str, **how: Any) -> int | None:
    """What one more request is charged; None: the model has no price."""
    answer = await call.ask(customer, chat(model, simulate={"tokens": TOKENS}), **how)
    if answer.status == 404:
        assert answer.error["code"] == "model_not_priced"
        return None
    assert answer.status == 200
    return nanos(Decimal(answer.headers["x-farebox-cost"]))


async def charged_from_now_on(
    call: Caller, customer: Customer, model: str, old: int | None, new: int | None, **how: Any
) -> None:
    """Requests are charged the old price until the new one is seen, and then the new one."""

    async def is_new() -> bool:
        cost = await cost_of(call, customer, model, **how)
        assert cost in (old, new)
        return cost == new

    assert old != new
    await until(is_new)
    assert [await cost_of(call, customer, model, **how) for _ in range(3)] == [new] * 3


async def set_by_sql(office: Office, model: str, rate: Rate) -> None:
    await office.pool.execute(
        "UPDATE ai_pricing SET input_price_per_1k_tokens = $2, output_price_per_1k_tokens = $3, base_request_fee = $4"
        " WHERE model = $1",
        model, *(Decimal(amount) / USD for amount in (rate.input, rate.output, rate.fee)),
    )  # fmt: skip


async def test_an_operators_update_is_charged_by_every_proxy_from_the_next_request_on(
    call: Caller, office: Office, second_proxy: str
) -> None:
    customer = await office.customer()
    old, new = RATES[TINY].cost(PROMPT_TOKENS, TOKENS), Rate(7_777_777, 8_888_889, 3).cost(PROMPT_TOKENS, TOKENS)
    for how in ({}, {"base_url": second_proxy}):
        assert await cost_of(call, customer, TINY, **how) == old
    await set_by_sql(office, TINY, Rate(7_777_777, 8_888_889, 3))
    try:
        await charged_from_now_on(call, customer, TINY, old, new)
        await charged_from_now_on(call, customer, TINY, old, new, base_url=second_proxy)
    finally:
        await set_by_sql(office, TINY, RATES[TINY])
    await office.settled()


async def test_a_running_stream_keeps_the_price_that_it_began_with(call: Caller, office: Office) -> None:
    running, customer = await office.customer(), await office.customer()
    old, dear = RATES[TINY], Rate(70_000_000, 80_000_000, 9)
    # minutes of it: it goes on until its client leaves
    slow = {"tokens": 100_000, "chunk_delay_ms": 5}
    async with call.stream(running, chat(TINY, simulate=slow)) as answer:
        for _ in range(10):
            assert await answer.content.readany()
        await set_by_sql(office, TINY, dear)
        try:
            old_cost, new_cost = (rate.cost(PROMPT_TOKENS, TOKENS) for rate in (old, dear))

            async def is_dear() -> bool:
                return await cost_of(call, customer, TINY) == new_cost

            assert old_cost != new_cost
            await until(is_dear)
            assert await office.usage_rows(running) == []
        finally:
            await set_by_sql(office, TINY, old)
    row = await office.only_usage(running)
    assert row["end_reason"] == "client_left"
    charged = [rate.cost(row["input_tokens"], row["output_tokens"]) for rate in (old, dear)]
    assert charged[0] != charged[1] and row["cost"] == charged[0]
    assert (await office.debits(running)) == {str(row["id"]): charged[0]}
    await office.settled()


async def test_a_price_over_http_is_in_force_shown_charged_and_switched_off(
    admin: Api, ana: Api, call: Caller, office: Office
) -> None:
    customer = await office.customer()
    assert await cost_of(call, customer, UNPRICED) is None
    wanted = {"model": UNPRICED, "inputPer1kTokens": 0.001, "outputPer1kTokens": 0.000000001, "baseRequestFee": 0.5}
    status, made = await admin("POST", ADMIN_PRICES, wanted | {"imagePrice": 0.04, "reason": "we have it now"})
    assert status == 200
    price = made["price"]
    assert (price["inForce"], price["isActive"], price["currency"]) == (True, True, "USD")
    assert (price["outputPer1kTokens"], price["imagePrice"]) == (Decimal("1E-9"), Decimal("0.04"))
    assert price["cachedInputPer1kTokens"] is price["audioMinutePrice"] is None
    rate = Rate(1_000_000, 1, USD // 2)
    await charged_from_now_on(call, customer, UNPRICED, None, rate.cost(PROMPT_TOKENS, TOKENS))

    status, told = await ana("GET", PRICES)
    (mine,) = [found for found in told["prices"] if found["model"] == UNPRICED]
    assert status == 200 and (mine["cachedInputPer1kTokens"], mine["reasoningPer1kTokens"]) == (
        Decimal("0.001"),
        Decimal("1E-9"),
    )
    assert (mine["imagePrice"], mine["audioMinutePrice"], mine["baseRequestFee"]) == (
        Decimal("0.04"),
        0,
        Decimal("0.5"),
    )
    assert "id" not in mine and {TINY, OUTPUT_ONLY} <= {found["model"] for found in told["prices"]}

    status, listed = await admin("GET", f"{ADMIN_PRICES}?model={UNPRICED}")
    assert (status, listed["prices"]) == (200, [price])
    status, gone = await admin("POST", DEACTIVATE, {"priceId": price["id"], "reason": "and now we have not"})
    assert (status, gone["inForce"], gone["price"]["isActive"]) == (200, None, False)
    await charged_from_now_on(call, customer, UNPRICED, rate.cost(PROMPT_TOKENS, TOKENS), None)
    acts = await office.pool.fetch(
        "SELECT actor, action, reason FROM farebox_admin_log WHERE target_id = $1", price["id"]
    )
    assert [tuple(act) for act in acts] == [
        (str(ADMIN), "price.set", "we have it now"),
        (str(ADMIN), "price.deactivate", "and now we have not"),
    ]
    await office.settled()


async def test_a_row_of_its_date_is_not_rewritten(admin: Api) -> None:
    body = {
        "model": "other",
        "inputPer1kTokens": 1,
        "outputPer1kTokens": 1,
        "reason": "x",
        "effectiveFrom": "2026-01-01",
    }
    assert (await admin("POST", ADMIN_PRICES, body))[0] == 200
    status, refused = await admin("POST", ADMIN_PRICES, body | {"inputPer1kTokens": 2})
    assert (status, refused["code"]) == (409, "price_exists")
    _, listed = await admin("GET", f"{ADMIN_PRICES}?model=other")
    assert [row["inputPer1kTokens"] for row in listed["prices"]] == [1]


async def test_a_price_that_is_not_there_cannot_be_switched_off(admin: Api) -> None:
    status, refused = await admin("POST", DEACTIVATE, {"priceId": NOBODYS_PRICE, "reason": "x"})
    assert (status, refused["code"]) == (404, "price_not_found")


async def test_prices_are_set_by_administrators_alone(ana: Api, office: Office) -> None:
    before = await office.pool.fetchval("SELECT count(*) FROM ai_pricing")
    body = {"model": TINY, "inputPer1kTokens": 0, "outputPer1kTokens": 0, "reason": "free for all"}
    for method, path, sent in (
        ("GET", ADMIN_PRICES, None),
        ("POST", ADMIN_PRICES, body),
        ("POST", DEACTIVATE, {"priceId": NOBODYS_PRICE, "reason": "x"}),
    ):
        assert (await ana(method, path, sent))[0] == 403
    assert await office.pool.fetchval("SELECT count(*) FROM ai_pricing") == before


BAD_AMOUNTS = [b"NaN", b"Infinity", b"1e309", b"-1", b'"5"', b"true", b"1e30", b"0.0000000001", b"[1]", b"9000001"]
OPTIONAL = ["cachedInputPer1kTokens", "imagePrice", "audioMinutePrice", "audioOutputPer1kTokens", "baseRequestFee"]


@pytest.mark.parametrize("name", ["inputPer1kTokens", "outputPer1kTokens", *OPTIONAL])
async def test_a_price_is_an_amount_of_dollars(admin: Api, office: Office, name: str) -> None:
    before = await office.pool.fetchval("SELECT count(*) FROM ai_pricing")
    fields = {"model": b'"tiny"', "inputPer1kTokens": b"1", "outputPer1kTokens": b"1", "reason": b'"x"'}
    for amount in BAD_AMOUNTS + ([] if name in OPTIONAL[:-1] else [b"null"]):
        text = b", ".join(b'"%s": %s' % (field.encode(), value) for field, value in (fields | {name: amount}).items())
        assert (await admin("POST", ADMIN_PRICES, b"{%s}" % text))[0] == 400, amount
    assert await office.pool.fetchval("SELECT count(*) FROM ai_pricing") == before


@pytest.mark.parametrize(
    "change",
    [
        {"model": ""}, {"model": None}, {"model": "x" * 201}, {"model": "a\x00b"}, {"model": 5}, {"reason": ""},
        {"reason": None}, {"reason": "x" * 501}, {"effectiveFrom": "tomorrow"}, {"effectiveFrom": 5}, {"colour": "red"},
        {"effectiveFrom": "2020-01-01"},  # a later price is in force
    ],
    ids=str,
)  # fmt: skip
async def test_a_price_is_not_made_of_nonsense(admin: Api, office: Office, change: dict[str, Any]) -> None:
    before = await office.pool.fetchval("SELECT count(*) FROM ai_pricing")
    body = {"model": TINY, "inputPer1kTokens": 1, "outputPer1kTokens": 1, "reason": "x"} | change
    assert (await admin("POST", ADMIN_PRICES, body))[0] == 400
    assert await office.pool.fetchval("SELECT count(*) FROM ai_pricing") == before


@pytest.mark.parametrize("query", ["limit=0", "limit=1001", "limit=x", "offset=-1", "model=", "colour=red"])
async def test_odd_questions_about_prices(admin: Api, query: str) -> None:
    assert (await admin("GET", f"{ADMIN_PRICES}?{query}"))[0] == 400
