"""A client that leaves pays for what it was sent, no more; and the LLM server hears of it at once."""

import asyncio
from typing import Any

from tests.support.calling import PROMPT_TOKENS, Caller, chat
from tests.support.ledger import until
from tests.support.office import RATES, Office
from tests.support.program import TINY

LONG = {"tokens": 10_000, "chunk_delay_ms": 20}


async def started_upstream(call: Caller, name: str) -> dict[str, Any]:
    """The LLM server's record of the one request that carries this client's model settings, once it is there."""
    found: list[dict[str, Any]] = []

    async def is_there() -> bool:
        found[:] = [seen for seen in await call.seen_upstream() if seen["prompt_tokens"] == marked(name)]
        return bool(found)

    await until(is_there)
    return found[0]


def marked(name: str) -> int:
    """Prompt tokens that no other request of this file has."""
    return 4 + 100 + sum(map(ord, name))


def prompt(name: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": "a " * (marked(name) - 4)}]}


def assert_prompt_alone(row: dict[str, Any]) -> None:
    """The server has begun to read it by then, and providers bill that."""
    assert (row["end_reason"], row["status_code"], row["usage_source"]) == ("client_left", 499, "estimated")
    assert (row["output_tokens"], row["total_tokens"]) == (0, row["input_tokens"])
    assert row["cost"] == RATES[TINY].cost(row["input_tokens"], 0) > 0


async def test_before_a_byte_of_a_whole_answer_the_prompt_is_paid_and_the_server_hears_of_it(
    call: Caller, office: Office
) -> None:
    customer = await office.customer()
    body = chat(simulate={"tokens": 1, "first_delay_ms": 60_000}, **prompt("whole"))
    asking = asyncio.get_running_loop().create_task(call.ask(customer, body))
    await started_upstream(call, "whole")
    assert (await office.cached(customer))["held"] > 0
    asking.cancel()
    row = await office.only_usage(customer)
    assert_prompt_alone(row)
    assert (await call.ended_upstream(str(row["id"])))["state"] == "client_left"
    await office.settled()
    assert await office.balance_nanos(customer) == customer.start_nanos - row["cost"]


async def test_before_the_first_event_of_a_stream_the_prompt_is_paid(call: Caller, office: Office) -> None:
    customer = await office.customer()
    body = chat(simulate={"tokens": 1, "first_delay_ms": 60_000})
    async with call.stream(customer, body) as answer:
        request_id = answer.headers["x-request-id"]
        answer.close()
    assert (await call.ended_upstream(request_id))["state"] == "client_left"
    row = await office.usage(request_id)
    assert_prompt_alone(row)
    await office.settled()


async def test_in_the_middle_of_a_stream_what_was_delivered_is_paid(call: Caller, office: Office) -> None:
    customer = await office.customer()
    async with call.stream(customer, chat(simulate=LONG)) as answer:
        request_id = answer.headers["x-request-id"]
        seen = 0
        async for line in answer.content:
            seen += line.startswith(b"data: ")
            if seen == 8:
                break
        answer.close()
    record = await call.ended_upstream(request_id)
    assert record["state"] == "client_left"
    # 10,000 tokens take more than three minutes: it did not go on until it was through
    assert record["completion_tokens"] < 5_000
    row = await office.usage(request_id)
    assert (row["end_reason"], row["usage_source"]) == ("client_left", "estimated")
    assert 7 <= row["output_tokens"] <= record["completion_tokens"]
    assert row["cost"] == RATES[TINY].cost(row["input_tokens"], row["output_tokens"])
    await office.settled()
    assert await office.balance_nanos(customer) == customer.start_nanos - row["cost"]


async def test_in_the_middle_of_a_large_answer_what_was_delivered_is_paid(call: Caller, office: Office) -> None:
    """An answer of more than a mebibyte flows before it is complete."""
    customer = await office.customer()
    url = call.program.base_url + "/v1/chat/completions"
    body = chat(simulate={"tokens": 9, "content_bytes": 60 << 20})
    async with call.http.post(url, json=body, headers=customer.auth) as answer:
        request_id = answer.headers["x-request-id"]
        await answer.content.read(1)
        answer.close()
    row = await office.usage(request_id)
    assert (row["end_reason"], row["status_code"]) == ("client_left", 499)
    assert row["usage_source"] == "estimated"
    assert row["cost"] > 0
    await office.settled()


async def test_after_the_last_event_it_is_an_ordinary_end(call: Caller, office: Office) -> None:
    customer = await office.customer()
    async with call.stream(customer, chat(simulate={"tokens": 5})) as answer:
        request_id = answer.headers["x-request-id"]
        async for line in answer.content:
            if b"[DONE]" in line:
                break
        answer.close()
    row = await office.usage(request_id)
    assert (row["end_reason"], row["usage_source"]) == ("completed", "reported")
    assert row["cost"] == RATES[TINY].cost(PROMPT_TOKENS, 5)
    await office.settled()


async def test_a_connection_that_is_reset_is_a_client_that_left(call: Caller, office: Office) -> None:
    customer = await office.customer()
    async with call.stream(customer, chat(simulate=LONG)) as answer:
        request_id = answer.headers["x-request-id"]
        await answer.content.readline()
        assert answer.connection is not None and answer.connection.transport is not None
        answer.connection.transport.abort()
    assert (await call.ended_upstream(request_id))["state"] == "client_left"
    assert (await office.usage(request_id))["end_reason"] == "client_left"
    await office.settled()
