"""`GET /v1/usage/{id}`: a client learns what its request came to, and nothing of anybody else's."""

from decimal import Decimal

import pytest

from tests.support.calling import PROMPT_TOKENS, Answer, Caller, chat
from tests.support.office import RATES, Customer, Office
from tests.support.program import TINY

TWO_TOKENS = chat(simulate={"tokens": 2})


async def look_up(call: Caller, customer: Customer, wanted: str, base: str = "/v1") -> Answer:
    return await call.get(f"{base}/usage/{wanted}", headers=customer.auth)


@pytest.mark.parametrize("base", ["/v1", "/api/v1"])
async def test_by_our_id_or_the_clients_own(call: Caller, office: Office, base: str) -> None:
    customer = await office.customer()
    asked = await call.ask(customer, TWO_TOKENS, headers={"x-client-request-id": "order 7/1"})
    await office.usage(asked.request_id)
    found = await look_up(call, customer, asked.request_id, base)
    assert found.status == 200 and found.body == (await look_up(call, customer, "order%207%2F1", base)).body
    cost = RATES[TINY].cost(PROMPT_TOKENS, 2)
    assert found.json["id"] == asked.request_id and found.json["client_request_id"] == "order 7/1"
    assert b'"charged":%s,' % asked.headers["x-farebox-cost"].encode() in found.body
    assert Decimal(asked.headers["x-farebox-cost"]) * 10**9 == cost
    assert (found.json["output_tokens"], found.json["usage_source"], found.json["end_reason"]) == (
        2, "reported", "completed",
    )  # fmt: skip


async def test_an_id_that_the_client_used_again_is_its_newest_request_and_both_are_paid(
    call: Caller, office: Office
) -> None:
    customer = await office.customer()
    ids = []
    for _ in range(2):
        asked = await call.ask(customer, TWO_TOKENS, headers={"x-client-request-id": "again"})
        ids.append(asked.request_id)
        await office.usage(asked.request_id)
        assert (await look_up(call, customer, "again")).json["id"] == ids[-1]
    assert len(await office.debits(customer)) == 2


async def test_what_is_somebody_elses_looks_like_what_is_nobodys(call: Caller, office: Office) -> None:
    ana, bob = await office.customer(), await office.customer()
    hers = await call.ask(ana, TWO_TOKENS, headers={"x-client-request-id": "hers"})
    await office.usage(hers.request_id)
    nobodys = await look_up(call, bob, "nobody's")
    assert (nobodys.status, nobodys.error["code"], nobodys.headers["retry-after"]) == (404, "usage_not_found", "1")
    for wanted in (hers.request_id, "hers", "%00", "%ff", "'--"):
        answer = await look_up(call, bob, wanted)
        assert (answer.status, answer.body) == (404, nobodys.body)
    assert (await look_up(call, bob, "")).error["code"] == "not_found"


async def test_a_refused_key_learns_nothing(call: Caller, office: Office) -> None:
    customer = await office.customer()
    asked = await call.ask(customer, TWO_TOKENS)
    await office.usage(asked.request_id)
    assert (await call.get(f"/v1/usage/{asked.request_id}")).status == 401
    await office.keys.revoke(customer.key_id)
    for path in (f"/v1/usage/{asked.request_id}", f"/v1/models/{TINY}"):
        assert (await call.get(path, headers=customer.auth)).status == 401


async def test_one_model(call: Caller, office: Office) -> None:
    customer = await office.customer()
    listed = (await call.get("/v1/models", headers=customer.auth)).json["data"]
    for base in ("/v1", "/api/v1"):
        answer = await call.get(f"{base}/models/{TINY}", headers=customer.auth)
        assert (answer.status, answer.json["id"], answer.json["object"]) == (200, TINY, "model")
        assert answer.json in listed
        refused = await call.get(f"{base}/models/org/none", headers=customer.auth)
        assert (refused.status, refused.error["code"]) == (404, "model_not_found")
