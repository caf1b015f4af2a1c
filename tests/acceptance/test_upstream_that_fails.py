"""An LLM server that fails in every way: the client is told so, pays for what it got, and nothing is left held."""

import json
from typing import Any

import pytest

from tests.support.calling import PROMPT_TOKENS, Answer, Caller, chat, events
from tests.support.office import RATES, Office
from tests.support.program import GONE, IMPATIENT, MISTRUSTED, TINY, UPSTREAM_KEY

# Status and code of the answer, and what is asked for.
FAILS_BEFORE_IT_BEGINS: dict[str, tuple[int, str, dict[str, Any]]] = {
    "refuses the connection": (502, "upstream_error", {"model": GONE}),
    "is silent": (504, "upstream_timeout", {"model": IMPATIENT, "simulate": {"fault": "stall"}}),
    "is slow to begin": (504, "upstream_timeout", {"model": IMPATIENT, "simulate": {"first_delay_ms": 60_000}}),
    "closes without an answer": (502, "upstream_error", {"simulate": {"fault": "close"}}),
    "cuts before a byte": (502, "upstream_error", {"simulate": {"fault": "cut"}}),
    "speaks no HTTP": (502, "upstream_error", {"simulate": {"fault": "garbage"}}),
    "redirects": (502, "upstream_error", {"simulate": {"fault": "redirect"}}),
    "has headers without end": (502, "upstream_error", {"simulate": {"big_header_bytes": 1 << 17}}),
    "breaks down": (502, "upstream_error", {"simulate": {"fault": "status", "status": 500}}),
    "is overloaded": (502, "upstream_error", {"simulate": {"fault": "status", "status": 503}}),
    "refuses our credential": (502, "upstream_error", {"model": MISTRUSTED}),
    "sends half an answer": (502, "upstream_error", {"simulate": {"fault": "truncate"}}),
}


def assert_free(row: dict[str, Any], status: int, end_reason: str) -> None:
    assert (row["status_code"], row["end_reason"]) == (status, end_reason)
    assert (row["cost"], row["total_tokens"], row["usage_source"]) == (0, 0, "none")


# The simulated server sends the headers of a stream at once: what these do comes when it has begun.
FAILS_LATER_IF_STREAMED = {"is silent", "is slow to begin", "cuts before a byte", "sends half an answer"}
FAILURES = [(how, False) for how in FAILS_BEFORE_IT_BEGINS] + [
    (how, True) for how in FAILS_BEFORE_IT_BEGINS.keys() - FAILS_LATER_IF_STREAMED
]


@pytest.mark.parametrize(("how", "streamed"), sorted(FAILURES))
async def test_nothing_was_delivered_nothing_is_charged(call: Caller, office: Office, how: str, streamed: bool) -> None:
    status, code, fields = FAILS_BEFORE_IT_BEGINS[how]
    customer = await office.customer()
    answer = await call.ask(customer, chat(**fields, stream=streamed))
    assert (answer.status, answer.error["code"]) == (status, code), answer
    assert answer.error["type"] == "server_error"
    assert_free(await office.usage(answer.request_id), status, code)
    await office.settled()
    assert await office.balance_nanos(customer) == customer.start_nanos


@pytest.mark.parametrize("model", [GONE, MISTRUSTED])
async def test_the_answer_says_nothing_of_the_upstream_or_its_credential(
    call: Caller, office: Office, model: str
) -> None:
    answer = await call.ask(await office.customer(), chat(model))
    said = answer.body + repr(answer.headers).encode()
    for secret in (UPSTREAM_KEY, "sk-of-somebody-else", "Incorrect API key", call.program.upstream_url, "127.0.0.1"):
        assert secret.encode() not in said


@pytest.mark.parametrize("status", [400, 404, 418, 422, 429])
@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
async def test_a_refusal_of_the_upstreams_own_is_passed_on_and_free(
    call: Caller, office: Office, status: int, streamed: bool
) -> None:
    customer = await office.customer()
    body = chat(simulate={"fault": "status", "status": status}, stream=streamed)
    answer = await call.ask(customer, body)
    assert (answer.status, answer.body) == (status, await call.direct(body))
    assert answer.headers.get("retry-after") == ("1" if status == 429 else None)
    assert_free(await office.usage(answer.request_id), status, "upstream_refused")
    await office.settled()


BREAKS_OFF: dict[str, tuple[str, dict[str, Any]]] = {
    "stalls": ("upstream_timeout", {"fault": "stall"}),
    "is cut": ("upstream_error", {"fault": "cut"}),
    "ends inside its framing": ("upstream_error", {"fault": "truncate"}),
}
BREAKS_OFF_AT_ONCE = {how: (code, orders | {"after_chunks": 0}) for how, (code, orders) in BREAKS_OFF.items()}
BREAKS_OFF_AT_ONCE["is slow to begin"] = ("upstream_timeout", {"first_delay_ms": 60_000})


@pytest.mark.parametrize("how", BREAKS_OFF)
@pytest.mark.parametrize("words", [1, 7])
async def test_a_stream_that_breaks_off_ends_with_an_error_and_what_was_delivered_is_paid(
    call: Caller, office: Office, how: str, words: int
) -> None:
    code, orders = BREAKS_OFF[how]
    customer = await office.customer()
    body = chat(IMPATIENT, simulate={"tokens": 20, "after_chunks": 1 + words, **orders})
    async with call.stream(customer, body) as answer:
        assert answer.status == 200
        got = events(await answer.read())
        request_id = answer.headers["x-request-id"]
    *chunks, last = got
    assert len(chunks) == 1 + words
    assert json.loads(last)["error"]["code"] == code
    row = await office.usage(request_id)
    assert (row["status_code"], row["end_reason"], row["usage_source"]) == (200, code, "estimated")
    assert row["output_tokens"] == words
    assert row["cost"] == RATES[IMPATIENT].cost(row["input_tokens"], words) > 0
    await office.settled()
    assert await office.balance_nanos(customer) == customer.start_nanos - row["cost"]


@pytest.mark.parametrize("how", BREAKS_OFF_AT_ONCE)
async def test_a_stream_that_breaks_off_before_its_first_event_is_free(call: Caller, office: Office, how: str) -> None:
    code, orders = BREAKS_OFF_AT_ONCE[how]
    customer = await office.customer()
    async with call.stream(customer, chat(IMPATIENT, simulate=orders)) as answer:
        (error,) = events(await answer.read())
        request_id = answer.headers["x-request-id"]
    assert json.loads(error)["error"]["code"] == code
    assert_free(await office.usage(request_id), 200, code)
    await office.settled()


async def test_an_error_event_of_the_upstreams_own_is_passed_on_and_what_came_before_it_is_paid(
    call: Caller, office: Office
) -> None:
    customer = await office.customer()
    body = chat(simulate={"tokens": 20, "fault": "error_event", "after_chunks": 6})
    async with call.stream(customer, body) as answer:
        *chunks, error = events(await answer.read())
        request_id = answer.headers["x-request-id"]
    assert len(chunks) == 6
    assert json.loads(error)["error"]["code"] == "simulated"
    row = await office.usage(request_id)
    assert (row["end_reason"], row["usage_source"], row["output_tokens"]) == ("upstream_error", "estimated", 5)
    await office.settled()


async def test_a_stream_without_usage_and_done_passes_as_it_is_and_is_paid_as_estimated(
    call: Caller, office: Office
) -> None:
    customer = await office.customer()
    async with call.stream(customer, chat(simulate={"tokens": 20, "fault": "no_done"})) as answer:
        got = events(await answer.read())
        request_id = answer.headers["x-request-id"]
    assert len(got) == 1 + 20 + 1
    row = await office.usage(request_id)
    assert (row["usage_source"], row["end_reason"], row["status_code"]) == ("estimated", "ended_without_done", 200)
    assert row["output_tokens"] == 20
    await office.settled()


async def test_a_server_that_counts_nothing_is_paid_as_estimated(call: Caller, office: Office) -> None:
    customer = await office.customer()
    async with call.stream(customer, chat(simulate={"tokens": 20, "usage": False})) as answer:
        await answer.read()
        request_id = answer.headers["x-request-id"]
    row = await office.usage(request_id)
    assert (row["usage_source"], row["end_reason"]) == ("estimated", "completed")
    assert row["output_tokens"] == 20
    assert row["input_tokens"] >= PROMPT_TOKENS
    await office.settled()


async def test_a_body_that_is_no_json_passes_as_it_is_and_is_paid_as_estimated(call: Caller, office: Office) -> None:
    customer = await office.customer()
    body = chat(simulate={"fault": "bad_json"})
    answer = await call.ask(customer, body)
    assert (answer.status, answer.body) == (200, await call.direct(body))
    row = await office.usage(answer.request_id)
    assert (row["status_code"], row["end_reason"], row["usage_source"]) == (200, "completed", "estimated")
    assert row["cost"] == RATES[TINY].cost(row["input_tokens"], row["output_tokens"])
    assert 0 < row["output_tokens"] <= len(answer.body)
    await office.settled()


async def test_one_failure_after_another_leaves_the_next_request_alone(call: Caller, office: Office) -> None:
    """A connection that carried a fault must not be used again."""
    customer = await office.customer()
    faults = ("close", "cut", "garbage", "truncate", "redirect", "bad_json")
    for fault in faults * 3:
        await call.ask(customer, chat(simulate={"fault": fault}))
        good: Answer = await call.ask(customer, chat(simulate={"tokens": 3}))
        assert (good.status, good.json["usage"]["completion_tokens"]) == (200, 3)
    await office.settled()
    rows = await office.usage_rows(customer)
    assert len(rows) == 2 * 3 * len(faults)
    good_rows = [row for row in rows if row["usage_source"] == "reported"]
    assert [row["cost"] for row in good_rows] == [RATES[TINY].cost(PROMPT_TOKENS, 3)] * 3 * len(faults)
