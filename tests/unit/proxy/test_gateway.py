"""One request through the interpreter of the exchange: who is asked what, what the client sees, what is recorded.

The upstream, the limits and the key verifier are played; HTTP is aiohttp's own, without a socket.
"""

import asyncio
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any
from uuid import UUID

import orjson
import pytest
from msgspec.structs import replace

from metering.admission import Decision, LimitsUnavailable
from metering.bucket import MINUTE_MS, Bucket
from metering.leases import Lease
from metering.verdict import Outcome
from proxy.upstream.connection import ResponseHandle, ResponseSink
from proxy.upstream.errors import UpstreamConnectError
from proxy.upstream.pool import UpstreamRequest
from tests.support.calls import IDENTITY, chat_body, price
from tests.support.gateway import (
    A_TOKEN,
    CHUNK,
    COST,
    CUT,
    DONE,
    EVENTS,
    FIRST_STEP,
    GOOD,
    JSON,
    KEY,
    PATH,
    PROMPT_AND_FEE,
    USAGE_CHUNK,
    Rig,
)
from tests.support.memory_http import post
from tests.support.waiting import until


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    async with Rig().serving() as made:
        yield made


async def test_a_whole_answer(rig: Rig) -> None:
    sink = await rig.begin("X-Client-Request-Id: job-17")
    sink.on_headers(200, JSON)
    sink.on_body(GOOD)
    sink.on_end()
    answer = await rig.whole()
    assert (answer.status, answer.body) == (200, GOOD)
    assert (answer.headers["x-theirs"], answer.headers["x-ratelimit-limit-requests"]) == ("1", "60")
    entry = rig.limits.entry
    assert Decimal(answer.headers["x-farebox-cost"]).scaleb(9) == entry.cost_nanos == COST
    assert answer.headers["x-request-id"] == str(entry.request_id)
    assert (entry.usage_source, entry.end_reason, entry.endpoint) == ("reported", "completed", PATH)
    assert entry.metadata["client_request_id"] == "job-17"


async def test_what_is_sent_upstream(rig: Rig) -> None:
    await rig.begin("X-Request-Id: theirs")
    (sent,) = rig.pool.sent
    assert (sent.method, sent.path, sent.body) == ("POST", "/chat/completions", chat_body())
    passed = dict(sent.headers)
    assert passed[b"authorization"] == b"Bearer sk-upstream"
    assert passed[b"x-request-id"] == str(rig.limits.admissions[0].request_id).encode()


async def test_the_hold_covers_the_most_that_the_request_can_cost(rig: Rig) -> None:
    await rig.begin(max_tokens=1000, n=2)
    assert rig.limits.admissions[0].hold_nanos > 2000 * price().reasoning_nanos_per_1k // 1000


async def test_the_tokens_asked_for_are_the_bound_and_the_tokens_settled_what_was_used(rig: Rig) -> None:
    sink = await rig.begin(max_tokens=1000, n=2)
    assert 2000 < rig.limits.admissions[0].tokens < 2100
    sink.on_headers(200, JSON)
    sink.on_body(GOOD)
    sink.on_end()
    await rig.whole()
    (settlement,) = rig.limits.settlements
    assert (settlement.tokens, settlement.key_id) == (5, IDENTITY.key_id)


async def test_admission_is_told_what_for_and_from_where(rig: Rig) -> None:
    await rig.begin("X-Forwarded-For: 192.0.2.7")
    use = rig.limits.admissions[0].use
    assert (use.model, use.route) == ("tiny", PATH)
    assert use.ip != "192.0.2.7", "nobody is trusted here"


async def test_a_key_with_a_token_limit_is_told_of_it(rig: Rig) -> None:
    assert isinstance(rig.limits.decision, Decision)
    rig.limits.decision = replace(rig.limits.decision, tokens=Bucket(600, MINUTE_MS, 570 * MINUTE_MS))
    sink = await rig.begin()
    sink.on_headers(200, JSON)
    sink.on_body(GOOD)
    sink.on_end()
    answer = await rig.whole()
    told = {name: value for name, value in answer.headers.items() if name.endswith("-tokens")}
    assert told == {
        "x-ratelimit-limit-tokens": "600",
        "x-ratelimit-remaining-tokens": "570",
        "x-ratelimit-reset-tokens": "3s",
    }


async def test_a_stream(rig: Rig) -> None:
    sink = await rig.begin(stream=True)
    sink.on_headers(200, EVENTS)
    await rig.has_begun()
    sink.on_body(CHUNK)
    assert rig.client.answer().body == CHUNK, "at once, not when the next task runs"
    sink.on_body(USAGE_CHUNK)
    sink.on_body(DONE)
    sink.on_end()
    answer = await rig.whole()
    assert answer.body == CHUNK + DONE, "the usage was asked for by us"
    assert answer.headers["x-accel-buffering"] == "no" and "x-farebox-cost" not in answer.headers
    assert (rig.limits.entry.cost_nanos, rig.limits.entry.end_reason) == (COST, "completed")


async def test_a_stream_that_breaks_ends_in_an_error_event_and_is_charged(rig: Rig) -> None:
    sink = await rig.begin(stream=True)
    sink.on_headers(200, EVENTS)
    sink.on_body(CHUNK * 3)
    await rig.has_begun()
    sink.on_failure(CUT)
    answer = await rig.whole()
    assert answer.body.startswith(CHUNK * 3 + b"data: ") and b"10.1.2.3" not in answer.body
    assert orjson.loads(answer.body.removeprefix(CHUNK * 3)[6:])["error"]["code"] == "upstream_error"
    entry = rig.limits.entry
    # three pieces of text, none of which can be less than a token
    assert (entry.usage_source, entry.output_tokens, entry.end_reason) == ("estimated", 3, "upstream_error")


async def test_an_error_event_never_becomes_part_of_a_broken_one(rig: Rig) -> None:
    sink = await rig.begin(stream=True, stream_options={"include_usage": True})
    sink.on_headers(200, EVENTS)
    sink.on_body(CHUNK + CHUNK[:20])
    await rig.has_begun()
    sink.on_failure(CUT)
    *_, last, rest = (await rig.whole()).body.split(b"\n\n")
    assert orjson.loads(last.removeprefix(b"data: "))["error"]["code"] == "upstream_error" and rest == b""


async def test_an_upstream_that_fails_before_the_first_byte_costs_nothing(rig: Rig) -> None:
    sink = await rig.begin(stream=True)
    sink.on_failure(CUT)
    answer = await rig.whole()
    assert (answer.status, answer.json()["error"]["code"]) == (502, "upstream_error")
    assert answer.headers["x-ratelimit-remaining-requests"] == "59"
    entry = rig.limits.entry
    assert (entry.cost_nanos, entry.usage_source, entry.status_code) == (0, "none", 502)
    assert entry.error_message == "The upstream failed."


async def test_an_upstream_that_cannot_be_reached(rig: Rig) -> None:
    rig.pool.error = UpstreamConnectError("cannot connect to 10.1.2.3")
    answer = await rig.ask()
    assert answer.status == 502 and b"10.1.2.3" not in answer.body
    assert rig.limits.entry.cost_nanos == 0


async def test_an_answer_that_breaks_off_before_it_was_begun_is_an_error(rig: Rig) -> None:
    sink = await rig.begin()
    sink.on_headers(200, JSON)
    sink.on_body(GOOD[:10])
    sink.on_failure(CUT)
    assert (await rig.whole()).status == 502
    assert rig.limits.entry.cost_nanos == 0


async def test_a_large_answer_that_breaks_off_does_not_look_whole(rig: Rig) -> None:
    sink = await rig.begin()
    sink.on_headers(200, JSON)
    sink.on_body(b"x" * (2 << 20))
    await rig.has_begun()
    sink.on_failure(CUT)
    await until(lambda: rig.client.transport.was_aborted)
    assert not rig.client.answer().is_complete
    assert rig.limits.entry.end_reason == "upstream_error"


@pytest.mark.parametrize("status", [400, 404, 422, 429])
async def test_the_upstreams_own_refusal_is_passed_on_and_free(rig: Rig, status: int) -> None:
    sink = await rig.begin()
    sink.on_headers(status, JSON)
    sink.on_body(b'{"error": "theirs"}')
    sink.on_end()
    answer = await rig.whole()
    assert (answer.status, answer.body) == (status, b'{"error": "theirs"}')
    assert (rig.limits.entry.cost_nanos, rig.limits.entry.end_reason) == (0, "upstream_refused")


@pytest.mark.parametrize("status", [301, 401, 407, 500, 503])
async def test_what_is_not_for_the_client_is_not_passed_on(rig: Rig, status: int) -> None:
    sink = await rig.begin()
    sink.on_headers(status, JSON)
    sink.on_body(b"sk-upstream is wrong")
    sink.on_end()
    answer = await rig.whole()
    assert answer.status == 502 and b"sk-upstream" not in answer.body
    assert (rig.limits.entry.cost_nanos, rig.limits.entry.status_code) == (0, 502)


async def test_a_client_that_leaves_before_the_first_byte_pays_for_the_prompt(rig: Rig) -> None:
    await rig.begin(stream=True)
    rig.client.leave()
    await until(lambda: bool(rig.limits.settlements))
    assert rig.pool.handle.log == ["abort"]
    entry = rig.limits.entry
    assert (entry.usage_source, entry.status_code, entry.output_tokens) == ("estimated", 499, 0)
    assert entry.input_tokens > 0 and entry.cost_nanos > 0


async def test_a_client_that_leaves_a_stream_pays_what_was_delivered(rig: Rig) -> None:
    sink = await rig.begin(stream=True)
    sink.on_headers(200, EVENTS)
    sink.on_body(CHUNK * 5)
    await rig.has_begun()
    rig.client.leave()
    await until(lambda: bool(rig.limits.settlements))
    assert rig.pool.handle.log == ["abort"]
    entry = rig.limits.entry
    assert (entry.end_reason, entry.output_tokens, entry.usage_source) == ("client_left", 5, "estimated")


async def test_a_client_that_leaves_while_room_is_asked_for_owes_nothing(rig: Rig) -> None:
    rig.limits.admitting.clear()
    rig.client.send(post(PATH, chat_body(), KEY))
    await until(lambda: bool(rig.limits.admissions))
    rig.client.leave()
    rig.limits.admitting.set()
    await asyncio.sleep(0)
    assert rig.limits.settlements == [] and rig.pool.sent == []


async def test_a_slow_client_slows_the_upstream_until_it_reads_on(rig: Rig) -> None:
    sink = await rig.begin(stream=True)
    sink.on_headers(200, EVENTS)
    await rig.has_begun()
    rig.client.transport.buffered = 1 << 20
    rig.client.protocol.pause_writing()
    sink.on_body(CHUNK)
    assert rig.pool.handle.log == ["pause"]
    rig.client.transport.buffered = 0
    rig.client.protocol.resume_writing()
    await until(lambda: rig.pool.handle.log == ["pause", "resume"])
    sink.on_end()
    assert (await rig.whole()).body == CHUNK


async def test_a_client_that_stops_reading_is_cut_off_and_charged() -> None:
    async with Rig(client_stall_timeout_s=0.001).serving() as rig:
        sink = await rig.begin(stream=True)
        sink.on_headers(200, EVENTS)
        await rig.has_begun()
        rig.client.transport.buffered = 1 << 20
        rig.client.protocol.pause_writing()
        sink.on_body(CHUNK * 3)
        await until(lambda: rig.client.transport.was_aborted)
        await until(lambda: bool(rig.limits.settlements))
    assert rig.pool.handle.log == ["pause", "abort"]
    assert (rig.limits.entry.end_reason, rig.limits.entry.output_tokens) == ("client_left", 3)


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"model": "unheard-of"}, 404, "model_not_found"),
        ({"model": "unserved"}, 404, "model_not_found"),
        ({"model": "unpriced"}, 404, "model_not_priced"),
        ({"n": 0}, 400, "invalid_request_error"),
        ({"padding": "x" * 5000}, 413, "request_too_large"),
    ],
)
async def test_a_bad_request_takes_nothing(rig: Rig, body: dict[str, Any], status: int, code: str) -> None:
    answer = await rig.ask(**body)
    assert (answer.status, answer.json()["error"]["code"]) == (status, code)
    assert UUID(answer.headers["x-request-id"]).version == 7
    assert rig.limits.admissions == [] and rig.limits.settlements == []


async def test_a_bad_key_is_refused_before_the_body_is_looked_at(rig: Rig) -> None:
    rig.verifier.is_bad = True
    answer = await rig.ask(n=0)
    assert answer.status == 401 and "x-ratelimit-limit-requests" not in answer.headers


@pytest.mark.parametrize(
    ("outcome", "status", "shows_limits"),
    [
        (Outcome.KEY_REFUSED, 401, False),
        (Outcome.OVER_MINUTE, 429, True),
        (Outcome.OVER_DAY, 429, True),
        (Outcome.NO_FUNDS, 402, True),
    ],
)
async def test_who_is_not_admitted_owes_nothing(rig: Rig, outcome: Outcome, status: int, shows_limits: bool) -> None:
    assert isinstance(rig.limits.decision, Decision)
    rig.limits.decision = replace(rig.limits.decision, outcome=outcome)
    answer = await rig.ask()
    assert answer.status == status
    assert ("x-ratelimit-limit-requests" in answer.headers) == shows_limits
    assert rig.limits.settlements == [] and rig.pool.sent == []


async def test_limits_away(rig: Rig) -> None:
    rig.limits.decision = LimitsUnavailable("gone", 1_000)
    answer = await rig.ask()
    assert (answer.status, answer.headers["retry-after"]) == (503, "1")
    assert rig.limits.settlements == []


async def test_a_slow_settlement_delays_an_answer_only_so_long(rig: Rig) -> None:
    rig.waits.timeout_s = 0.001
    rig.limits.is_slow = True
    sink = await rig.begin()
    sink.on_headers(200, JSON)
    sink.on_body(GOOD)
    sink.on_end()
    assert (await rig.whole()).status == 200


async def test_a_settlement_that_finds_no_room_does_not_take_the_answer_away(rig: Rig) -> None:
    rig.limits.is_full = True
    sink = await rig.begin()
    sink.on_headers(200, JSON)
    sink.on_body(GOOD)
    sink.on_end()
    assert (await rig.whole()).body == GOOD


async def test_a_client_id_that_is_no_text_does_not_stop_the_settlement(rig: Rig) -> None:
    sink = await rig.begin("X-Client-Request-Id: \xff\xfe", stream=True)
    sink.on_headers(200, EVENTS)
    sink.on_body(CHUNK + USAGE_CHUNK + DONE)
    sink.on_end()
    assert (await rig.whole()).body == CHUNK + DONE
    assert rig.limits.entry.cost_nanos == COST


async def test_a_fault_of_ours_lets_the_hold_go(rig: Rig) -> None:
    async def faulty(request: UpstreamRequest, sink: ResponseSink) -> ResponseHandle:
        raise RuntimeError("a fault")

    rig.pool.send = faulty  # type: ignore[method-assign]  # the fault is played
    answer = await rig.ask()
    assert (answer.status, answer.json()["error"]["code"]) == (500, "internal_error")
    assert (rig.limits.entry.cost_nanos, rig.limits.entry.status_code) == (0, 500)


FINISH = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
RUNNING = CHUNK[:-3] + b',"usage":{"prompt_tokens":3,"completion_tokens":%d}}\n\n'


async def test_a_question_that_is_refused_is_not_asked_again(rig: Rig) -> None:
    sink = await rig.begin(stream=True)
    assert b"include_usage" in rig.pool.sent[0].body
    sink.on_headers(422, JSON)
    sink.on_body(b'{"detail":[{"loc":["body","stream_options","include_usage"]}]}')
    sink.on_end()
    await until(lambda: len(rig.pool.sent) == 2)
    assert rig.pool.sent[1].body == chat_body(stream=True)
    rig.pool.sink.on_headers(200, EVENTS)
    rig.pool.sink.on_body(CHUNK + DONE)
    rig.pool.sink.on_end()
    answer = await rig.whole()
    assert (answer.status, answer.body) == (200, CHUNK + DONE)
    assert rig.limits.entry.usage_source == "estimated"
    await rig.client.ask(post(PATH, chat_body(stream=True, n=0), KEY))  # the connection is good for more
    rig.client.send(post(PATH, chat_body(stream=True), KEY))
    await until(lambda: len(rig.pool.sent) == 3)
    assert rig.pool.sent[2].body == chat_body(stream=True), "remembered"


async def test_a_refusal_of_something_else_is_the_clients(rig: Rig) -> None:
    sink = await rig.begin(stream=True)
    sink.on_headers(422, JSON)
    sink.on_body(b'{"detail":"temperature"}')
    sink.on_end()
    assert (await rig.whole()).status == 422
    assert len(rig.pool.sent) == 1


async def test_a_client_that_leaves_a_frame_before_the_usage_pays_what_is_reported(rig: Rig) -> None:
    sink = await rig.begin(stream=True)
    sink.on_headers(200, EVENTS)
    sink.on_body(CHUNK + FINISH)
    await rig.has_begun()
    rig.client.leave()
    await until(lambda: rig.client.transport.is_closed)
    await asyncio.sleep(0)
    assert rig.limits.settlements == []
    sink.on_body(USAGE_CHUNK + DONE)
    sink.on_end()
    await until(lambda: bool(rig.limits.settlements))
    entry = rig.limits.entry
    assert (entry.end_reason, entry.usage_source, entry.cost_nanos) == ("client_left_drained", "reported", COST)
    assert "abort" not in rig.pool.handle.log


async def test_a_frame_that_does_not_come_is_not_waited_for_long(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proxy.leaving.GRACE_S", 0.001)
    sink = await rig.begin(stream=True)
    sink.on_headers(200, EVENTS)
    sink.on_body(CHUNK + FINISH)
    await rig.has_begun()
    rig.client.leave()
    await until(lambda: bool(rig.limits.settlements))
    assert (rig.limits.entry.end_reason, rig.limits.entry.usage_source) == ("client_left", "estimated")
    assert rig.pool.handle.log[-1] == "abort"


@pytest.mark.parametrize("is_streamed", [True, False])
async def test_where_the_rest_is_billed_anyway_it_is_read_to_the_end(is_streamed: bool) -> None:
    async with Rig({"kind": "mistral"}).serving() as rig:
        sink = await rig.begin(stream=is_streamed)
        sink.on_headers(200, EVENTS if is_streamed else JSON)
        if is_streamed:
            sink.on_body(CHUNK)
            await rig.has_begun()
        rig.client.leave()
        await until(lambda: rig.client.transport.is_closed)
        await asyncio.sleep(0)
        sink.on_body(CHUNK + USAGE_CHUNK + DONE if is_streamed else GOOD)
        sink.on_end()
        await until(lambda: bool(rig.limits.settlements))
        assert (rig.limits.entry.end_reason, rig.limits.entry.cost_nanos) == ("client_left_drained", COST)


async def test_a_server_that_counts_along_is_believed_when_its_client_leaves() -> None:
    async with Rig({"kind": "vllm"}).serving() as rig:
        sink = await rig.begin(stream=True)
        assert b"continuous_usage_stats" in rig.pool.sent[0].body
        sink.on_headers(200, EVENTS)
        sink.on_body(RUNNING % 1 + RUNNING % 2)
        await rig.has_begun()
        assert rig.client.answer().body == CHUNK + CHUNK, "the counts are for us"
        rig.client.leave()
        await until(lambda: bool(rig.limits.settlements))
        entry = rig.limits.entry
    assert (entry.usage_source, entry.input_tokens, entry.output_tokens) == ("partial", 3, 2)


async def test_only_what_was_delivered_counts_where_the_operator_says_so() -> None:
    async with Rig({"kind": "vllm", "on_client_left": "estimate"}).serving() as rig:
        sink = await rig.begin(stream=True)
        sink.on_headers(200, EVENTS)
        sink.on_body(RUNNING % 5 + RUNNING % 9)
        await rig.has_begun()
        rig.client.leave()
        await until(lambda: bool(rig.limits.settlements))
        entry = rig.limits.entry
    assert (entry.usage_source, entry.output_tokens) == ("estimated", 2)


@pytest.mark.parametrize(
    ("path", "field"), [("/v1/messages", "type"), ("/v1/completions", "error"), ("/v1/embeddings", "error")]
)
async def test_each_api_is_refused_in_its_own_words(rig: Rig, path: str, field: str) -> None:
    answer = await rig.client.ask(post(path, chat_body(model="unheard-of", max_tokens=5, prompt="a", input="a"), KEY))
    assert answer.status == 404 and field in answer.json()


async def test_a_stream_of_anthropics_ends_in_an_error_of_its_kind(rig: Rig) -> None:
    rig.client.send(post("/v1/messages", chat_body(max_tokens=5, stream=True), KEY))
    await until(lambda: bool(rig.pool.sent))
    assert rig.pool.sent[0].path == "/messages"
    rig.pool.sink.on_headers(200, EVENTS)
    await rig.has_begun()
    rig.pool.sink.on_failure(CUT)
    assert (await rig.whole()).body.startswith(b"event: error\ndata: {")


async def test_a_hold_that_was_lowered_lowers_the_limit_and_says_so(rig: Rig) -> None:
    rig.limits.held = 60 * A_TOKEN + PROMPT_AND_FEE
    sink = await rig.begin(max_tokens=1_000)
    assert orjson.loads(rig.pool.sent[0].body) == orjson.loads(chat_body(max_tokens=60))
    assert rig.limits.admissions[0].least_nanos == A_TOKEN + PROMPT_AND_FEE
    sink.on_headers(200, JSON)
    sink.on_body(GOOD)
    sink.on_end()
    assert (await rig.whole()).headers["x-farebox-max-tokens"] == "60"


async def test_a_limit_that_was_not_lowered_is_not_spoken_of(rig: Rig) -> None:
    for is_stream in (False, True):
        sink = await rig.begin(stream=is_stream, max_tokens=1_000)
        sink.on_headers(200, JSON)
        sink.on_body(GOOD)
        sink.on_end()
        answer = await rig.whole()
        assert answer.status == 200 and "x-farebox-max-tokens" not in answer.headers
        rig.pool.sent.clear()


async def test_a_stream_holds_a_first_step_and_its_limit_stays(rig: Rig) -> None:
    await rig.begin(stream=True, max_tokens=5_000)
    (asked,) = rig.limits.admissions
    assert asked.hold_nanos == FIRST_STEP * A_TOKEN + PROMPT_AND_FEE
    assert asked.least_nanos == A_TOKEN + PROMPT_AND_FEE
    assert orjson.loads(rig.pool.sent[0].body)["max_tokens"] == 5_000
    (lease,) = rig.limits.leases.opened
    assert (lease.request_id, lease.held_nanos) == (asked.request_id, asked.hold_nanos)


DELTA = b'{"type":"response.output_text.delta","output_index":0,"content_index":0,"delta":"hi"}'
PIECE = b'{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"hi"}}'
STREAMS = {
    "/v1/chat/completions": CHUNK,
    "/v1/completions": b'data: {"choices":[{"index":0,"text":"hi"}]}\n\n',
    "/v1/responses": b"event: response.output_text.delta\ndata: " + DELTA + b"\n\n",
    "/v1/messages": b"event: content_block_delta\ndata: " + PIECE + b"\n\n",
    "/api/chat": b'{"message":{"role":"assistant","content":"hi"},"done":false}\n',
    "/api/generate": b'{"response":"hi","done":false}\n',
}


@pytest.mark.parametrize("path", STREAMS)
async def test_a_stream_that_cannot_be_paid_any_longer_is_cut_in_the_words_of_its_api(path: str) -> None:
    chunk, is_ollama = STREAMS[path], path.startswith("/api")
    async with Rig({"kind": "ollama"} if is_ollama else None).serving() as rig:
        rig.limits.leases.left = 10 * A_TOKEN
        sink = await rig.begin(path=path, stream=True, prompt="hi", input="hi", max_tokens=5_000)
        sink.on_headers(200, [(b"content-type", b"application/x-ndjson")] if is_ollama else EVENTS)
        await rig.has_begun()
        sink.on_body(chunk * (FIRST_STEP + 10))
        answer = await rig.whole()
        await until(lambda: bool(rig.limits.settlements))
        delivered = chunk * (FIRST_STEP + 10)
        assert answer.status == 200 and answer.body.startswith(delivered)
        last = answer.body.removeprefix(delivered)
        if path == "/v1/messages":
            assert last.startswith(b"event: error\n")
            last = last.removeprefix(b"event: error\n")
            assert orjson.loads(last[6:])["type"] == "error"
        said = orjson.loads(last if is_ollama else last.removeprefix(b"data: "))
        assert "insufficient_balance" in (said.get("code"), dict(said["error"]).get("code") if not is_ollama else None)
        assert rig.pool.handle.log == ["pause", "abort"], "it waits until it is known if more is to be had"
        entry = rig.limits.entry
    assert (entry.end_reason, entry.status_code, entry.output_tokens) == ("funds_ended", 200, FIRST_STEP + 10)
    assert entry.error_message is not None and entry.usage_source == "estimated"


async def test_a_stream_that_is_cut_in_the_middle_of_an_event_ends_it_first(rig: Rig) -> None:
    rig.limits.leases.left = 0
    sink = await rig.begin(stream=True, stream_options={"include_usage": True}, max_tokens=5_000)
    sink.on_headers(200, EVENTS)
    await rig.has_begun()
    sink.on_body(CHUNK * FIRST_STEP + CHUNK[:20])
    *_, last, rest = (await rig.whole()).body.split(b"\n\n")
    assert orjson.loads(last.removeprefix(b"data: "))["error"]["code"] == "insufficient_balance" and rest == b""
    assert rig.limits.entry.end_reason == "funds_ended"


async def test_a_body_that_cannot_be_paid_any_longer_does_not_look_whole(rig: Rig) -> None:
    """A stream was asked for, and one long answer came."""
    rig.limits.leases.left = 0
    sink = await rig.begin(stream=True, max_tokens=500_000)
    sink.on_headers(200, JSON)
    sink.on_body(b"x" * (2 << 20))
    await rig.has_begun()
    sink.on_body(b"x" * 5_000)
    await until(lambda: rig.client.transport.was_aborted)
    assert not rig.client.answer().is_complete
    await until(lambda: bool(rig.limits.settlements))
    assert (rig.limits.entry.end_reason, rig.pool.handle.log[-1]) == ("funds_ended", "abort")


async def test_while_redis_is_away_a_stream_goes_on(rig: Rig) -> None:
    rig.limits.leases.error = TimeoutError()
    sink = await rig.begin(stream=True, max_tokens=5_000)
    sink.on_headers(200, EVENTS)
    await rig.has_begun()
    sink.on_body(CHUNK * 600)
    await until(lambda: rig.limits.leases.extensions == 1)
    sink.on_body(CHUNK * 600)
    await until(lambda: rig.limits.leases.extensions == 2)
    sink.on_body(USAGE_CHUNK + DONE)
    sink.on_end()
    assert (await rig.whole()).body == CHUNK * 1_200 + DONE
    assert (rig.limits.entry.end_reason, rig.pool.handle.log) == ("completed", ["pause", "resume"] * 2)


@pytest.mark.parametrize("has_begun", [True, False])
async def test_what_is_read_on_for_its_usage_ends_when_it_cannot_be_paid(has_begun: bool) -> None:
    async with Rig({"kind": "mistral"}).serving() as rig:
        rig.limits.leases.left = 0
        sink = await rig.begin(stream=True, max_tokens=5_000)
        if has_begun:
            sink.on_headers(200, EVENTS)
            sink.on_body(CHUNK)
            await rig.has_begun()
        rig.client.leave()
        await until(lambda: rig.client.transport.is_closed)
        await asyncio.sleep(0)
        if not has_begun:
            sink.on_headers(200, EVENTS)
        sink.on_body(CHUNK * FIRST_STEP)
        await until(lambda: bool(rig.limits.settlements))
        assert rig.pool.handle.log[-1] == "abort"
        assert (rig.limits.entry.end_reason, rig.limits.entry.status_code) == ("client_left", 499)
        assert rig.limits.entry.output_tokens >= FIRST_STEP


async def test_a_client_that_leaves_while_more_is_asked_for_pays_once(rig: Rig) -> None:
    waits = asyncio.Event()

    async def extend(lease: Lease, more_nanos: int) -> int:
        await waits.wait()
        return lease.held_nanos

    rig.limits.leases.extend = extend  # type: ignore[method-assign]  # the delay is played
    sink = await rig.begin(stream=True, max_tokens=5_000)
    sink.on_headers(200, EVENTS)
    await rig.has_begun()
    sink.on_body(CHUNK * FIRST_STEP)
    await asyncio.sleep(0)
    rig.client.leave()
    await until(lambda: bool(rig.limits.settlements))
    waits.set()
    await asyncio.sleep(0)
    assert (rig.limits.entry.end_reason, rig.pool.handle.log) == ("client_left", ["pause", "abort"])


async def test_a_long_picture_goes_upstream_whole_and_is_held_for_as_the_picture_that_it_is() -> None:
    url = "data:image/png;base64," + "A" * 200_000
    messages = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}]
    async with Rig(max_body_bytes=1 << 20).serving() as rig:
        await rig.begin(messages=messages, stream=True)
        sent, asked = orjson.loads(rig.pool.sent[0].body), orjson.loads(chat_body(messages=messages, stream=True))
        assert sent == asked | {"stream_options": {"include_usage": True}}
        # its size is not told: the most that any picture is, and no text
        assert rig.limits.admissions[0].tokens < 100_000
