"""What is debited is what the LLM server itself counted, at the price in force, to the nano-dollar; and only the
wallet notices that Farebox asked for usage."""

import json
import re
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from tests.support.calling import PROMPT_TOKENS, Caller, chat, events
from tests.support.office import RATES, Customer, Office, eventually, nanos
from tests.support.program import TINY

ID_AND_TIME = re.compile(rb'"id":"chatcmpl-[0-9a-f]{32}"|"created":\d+')


def without_id_and_time(stream: bytes) -> bytes:
    """They differ from request to request; nothing else may."""
    return ID_AND_TIME.sub(b"", stream)


async def transaction_of(office: Office, request_id: str) -> dict[str, Any]:
    row = await office.pool.fetchrow("SELECT * FROM ai_transactions WHERE request_id = $1", UUID(request_id))
    assert row is not None
    return dict(row)


async def assert_debited(office: Office, customer: Customer, request_id: str, tokens: int, *, streamed: bool) -> int:
    """The one request of this customer was recorded and debited as it should; the cost in nano-dollars."""
    cost = RATES[TINY].cost(PROMPT_TOKENS, tokens)
    usage = await office.usage(request_id)
    await office.settled()
    assert (usage["input_tokens"], usage["output_tokens"]) == (PROMPT_TOKENS, tokens)
    assert usage["total_tokens"] == PROMPT_TOKENS + tokens
    assert (usage["usage_source"], usage["end_reason"], usage["status_code"]) == ("reported", "completed", 200)
    assert (usage["cost"], usage["uncollected"], usage["error_message"]) == (cost, 0, None)
    assert (usage["user_id"], usage["wallet_id"], usage["api_key_id"]) == (
        customer.user_id,
        customer.wallet_id,
        customer.key_id,
    )
    assert (usage["model"], usage["endpoint"]) == (TINY, "/v1/chat/completions")
    assert usage["metadata"] == {"stream": streamed, "upstream": "main"}
    assert usage["pricing_id"] is not None
    transaction = await transaction_of(office, request_id)
    assert nanos(transaction["amount"]) == -cost
    assert nanos(transaction["balance_before"]) == customer.start_nanos
    assert nanos(transaction["balance_after"]) == customer.start_nanos - cost
    assert await office.balance_nanos(customer) == customer.start_nanos - cost
    return cost


@pytest.mark.parametrize("tokens", [0, 1, 19, 1234])
async def test_an_answer_is_debited_as_the_server_counted_it_and_says_what_it_cost(
    call: Caller, office: Office, tokens: int
) -> None:
    customer = await office.customer()
    answer = await call.ask(customer, chat(simulate={"tokens": tokens}))
    assert answer.status == 200
    (seen,) = await call.seen_upstream(answer.request_id)
    assert (seen["prompt_tokens"], seen["completion_tokens"]) == (PROMPT_TOKENS, tokens)
    cost = await assert_debited(office, customer, answer.request_id, tokens, streamed=False)
    assert nanos(Decimal(answer.headers["x-farebox-cost"])) == cost
    assert "e" not in answer.headers["x-farebox-cost"].lower()


@pytest.mark.parametrize("options", [{}, {"stream_options": {"include_usage": True}}], ids=["injected", "asked for"])
@pytest.mark.parametrize("tokens", [1, 19, 1234])
async def test_a_stream_is_debited_as_the_server_counted_it(
    call: Caller, office: Office, tokens: int, options: dict[str, Any]
) -> None:
    customer = await office.customer()
    async with call.stream(customer, chat(simulate={"tokens": tokens}, **options)) as answer:
        request_id = answer.headers["x-request-id"]
        assert "x-farebox-cost" not in answer.headers
        await answer.read()
    (seen,) = await call.seen_upstream(request_id)
    assert (seen["completion_tokens"], seen["state"]) == (tokens, "finished")
    await assert_debited(office, customer, request_id, tokens, streamed=True)


SPLITS = [None, 1, 7, 64]


@pytest.mark.parametrize("split_bytes", SPLITS)
@pytest.mark.parametrize(
    "options",
    [{}, {"stream_options": None}, {"stream_options": {}}, {"stream_options": {"include_usage": False}}],
    ids=["none", "null", "empty", "declined"],
)
async def test_a_client_that_did_not_ask_for_usage_gets_the_stream_it_would_get_without_farebox(
    call: Caller, office: Office, options: dict[str, Any], split_bytes: int | None
) -> None:
    customer = await office.customer()
    simulate: dict[str, Any] = {"tokens": 30} | ({"split_bytes": split_bytes} if split_bytes else {})
    body = chat(simulate=simulate, stream=True, n=2, **options)
    async with call.stream(customer, body) as answer:
        through = await answer.read()
    direct = await call.direct(body)
    assert b'"usage"' not in direct
    assert without_id_and_time(through) == without_id_and_time(direct)
    usage = await office.only_usage(customer)
    assert (usage["usage_source"], usage["output_tokens"]) == ("reported", 60)


@pytest.mark.parametrize("split_bytes", SPLITS)
async def test_a_client_that_asked_for_usage_gets_it_as_the_server_sent_it(
    call: Caller, office: Office, split_bytes: int | None
) -> None:
    customer = await office.customer()
    simulate: dict[str, Any] = {"tokens": 30} | ({"split_bytes": split_bytes} if split_bytes else {})
    body = chat(simulate=simulate, stream=True, stream_options={"include_usage": True})
    async with call.stream(customer, body) as answer:
        through = await answer.read()
    assert without_id_and_time(through) == without_id_and_time(await call.direct(body))
    *_, said, done = events(through)
    assert (json.loads(said)["usage"]["completion_tokens"], done) == (30, b"[DONE]")


async def test_an_answer_that_is_not_streamed_is_passed_on_as_it_came(call: Caller, office: Office) -> None:
    customer = await office.customer()
    body = chat(simulate={"tokens": 300}, n=3)
    answer = await call.ask(customer, body)
    assert without_id_and_time(answer.body) == without_id_and_time(await call.direct(body))


async def test_a_large_answer_flows_without_being_collected_and_is_debited(call: Caller, office: Office) -> None:
    customer = await office.customer()
    answer = await call.ask(customer, chat(simulate={"tokens": 9, "content_bytes": 12 << 20}))
    assert len(answer.json["choices"][0]["message"]["content"]) == 12 << 20
    assert "x-farebox-cost" not in answer.headers
    await assert_debited(office, customer, answer.request_id, 9, streamed=False)


async def test_a_price_that_an_operator_changes_is_in_force_without_a_restart(call: Caller, office: Office) -> None:
    customer = await office.customer()

    async def cost() -> int:
        answer = await call.ask(customer, chat(simulate={"tokens": 5}, max_tokens=5))
        return nanos(Decimal(answer.headers["x-farebox-cost"]))

    before = await cost()
    price_id = await office.pool.fetchval(
        "INSERT INTO ai_pricing (model, input_price_per_1k_tokens, output_price_per_1k_tokens) VALUES ($1, 1, 2)"
        " RETURNING id",
        TINY,
    )
    after = nanos(Decimal(1) * PROMPT_TOKENS / 1000 + Decimal(2) * 5 / 1000)
    try:
        await eventually(cost, after)
    finally:
        await office.pool.execute("UPDATE ai_pricing SET is_active = false WHERE id = $1", price_id)
    await eventually(cost, before)  # the tests after this one are charged at the old price again
    await office.settled()
    rows = await office.usage_rows(customer)
    assert {row["cost"] for row in rows if row["pricing_id"] == price_id} == {after}
    assert {row["cost"] for row in rows if row["pricing_id"] != price_id} == {before}
