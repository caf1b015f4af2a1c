"""Several upstreams of one model, all played: who is asked, who is asked next, and that it is paid once."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import orjson
import pytest

from proxy.routing import Route
from proxy.upstream.attempts import MAX_ATTEMPTS
from proxy.upstream.connection import ResponseSink
from proxy.upstream.errors import Phase, UpstreamBusy, UpstreamClosed, UpstreamConnectError, UpstreamTimeout
from runtime.settings import ModelAdditions
from tests.support.calls import chat_body, route
from tests.support.gateway import CHUNK, COST, DONE, EVENTS, GOOD, JSON, KEY, PATH, USAGE_CHUNK, Pool, Rig
from tests.support.memory_http import post
from tests.support.waiting import until

CLOSED = UpstreamClosed("closed", headers_received=False)
SILENT = UpstreamTimeout(Phase.FIRST_BYTE, 600)


class Several(Rig):
    """The first upstream is the rig's own; a test plays those that are asked, in the order in which they are."""

    def __init__(self, count: int = 2, upstream: dict[str, Any] | None = None, **others: Any) -> None:
        super().__init__({"name": "one"} | (upstream or {}))
        self.pools = [self.pool, *(Pool() for _ in range(count - 1))]
        for number, pool in enumerate(self.pools[1:], start=2):
            settings = route(models=("tiny",), name=f"number-{number}", **others).settings
            self.others.append(Route(settings, cast(Any, pool)))

    def ask_for(self, **body: Any) -> None:
        self.client.send(post(PATH, chat_body(**body), KEY))

    async def asked(self, number: int) -> ResponseSink:
        """The `number`th upstream, once it has the request."""
        pool = self.pools[number - 1]
        await until(lambda: bool(pool.sent))
        return pool.sink

    @property
    def tried(self) -> list[int]:
        return [len(pool.sent) for pool in self.pools]


@asynccontextmanager
async def several(count: int = 2, upstream: dict[str, Any] | None = None, **others: Any) -> AsyncIterator[Several]:
    rig = Several(count, upstream, **others)
    async with rig.serving():
        yield rig


def answer(sink: ResponseSink, status: int = 200, body: bytes = GOOD) -> None:
    sink.on_headers(status, list(JSON))
    sink.on_body(body)
    sink.on_end()


def billed_once(rig: Several, upstream: str, cost: int = COST) -> None:
    entry = rig.limits.entry
    assert (entry.cost_nanos, entry.metadata["upstream"]) == (cost, upstream)
    assert entry.metadata["failed_over"] == ["one"]
    assert len(rig.limits.admissions) == len(rig.limits.leases.opened) == 1, "held once"


@pytest.mark.parametrize("error", [CLOSED, SILENT], ids=["closed", "silent"])
async def test_who_dies_before_an_answer_is_replaced(error: UpstreamClosed) -> None:
    async with several() as rig:
        rig.ask_for()
        (await rig.asked(1)).on_failure(error)
        answer(await rig.asked(2))
        whole = await rig.whole()
        assert (whole.status, whole.body) == (200, GOOD)
        billed_once(rig, "number-2")


async def test_who_cannot_be_reached_is_replaced() -> None:
    async with several() as rig:
        rig.pool.error = UpstreamConnectError("refused")
        rig.ask_for()
        answer(await rig.asked(2))
        assert (await rig.whole()).status == 200
        billed_once(rig, "number-2")


@pytest.mark.parametrize("status", [302, 401, 429, 500, 503])
async def test_who_answers_with_an_error_of_its_own_is_replaced(status: int) -> None:
    async with several() as rig:
        rig.ask_for()
        answer(await rig.asked(1), status, b"{}")
        answer(await rig.asked(2))
        assert (await rig.whole()).status == 200
        billed_once(rig, "number-2")


@pytest.mark.parametrize("status", [400, 404, 422])
async def test_what_is_the_clients_own_fault_is_told_at_once(status: int) -> None:
    async with several() as rig:
        rig.ask_for()
        answer(await rig.asked(1), status, b'{"error":1}')
        whole = await rig.whole()
        assert (whole.status, whole.body, rig.tried) == (status, b'{"error":1}', [1, 0])
        assert rig.limits.entry.cost_nanos == 0


async def test_an_answer_that_breaks_off_unseen_is_asked_for_again() -> None:
    async with several() as rig:
        rig.ask_for()
        first = await rig.asked(1)
        first.on_headers(200, list(JSON))
        first.on_body(GOOD[:20])
        first.on_failure(CLOSED)
        answer(await rig.asked(2))
        assert (await rig.whole()).body == GOOD
        billed_once(rig, "number-2")


async def test_a_stream_that_has_only_headers_has_not_begun() -> None:
    async with several() as rig:
        rig.ask_for(stream=True)
        first = await rig.asked(1)
        first.on_headers(200, list(EVENTS))
        first.on_failure(CLOSED)
        second = await rig.asked(2)
        second.on_headers(200, list(EVENTS))
        await rig.has_begun()
        for piece in (CHUNK, USAGE_CHUNK, DONE):
            second.on_body(piece)
        second.on_end()
        whole = await rig.whole()
        assert (whole.status, whole.body) == (200, CHUNK + DONE)
        billed_once(rig, "number-2")


async def test_after_the_first_byte_nobody_else_is_asked() -> None:
    async with several() as rig:
        rig.ask_for(stream=True)
        first = await rig.asked(1)
        first.on_headers(200, list(EVENTS))
        first.on_body(CHUNK)
        await rig.has_begun()
        first.on_failure(CLOSED)
        whole = await rig.whole()
        assert whole.body.startswith(CHUNK) and b'"code":"upstream_error"' in whole.body
        assert rig.tried == [1, 0]
        await until(lambda: bool(rig.limits.settlements))
        entry = rig.limits.entry
        assert "failed_over" not in entry.metadata
        assert (entry.end_reason, entry.metadata["upstream"]) == ("upstream_error", "one") and entry.cost_nanos > 0


async def test_a_stream_begins_with_its_headers_where_nobody_else_is_left() -> None:
    async with several(count=1) as rig:
        rig.ask_for(stream=True)
        (await rig.asked(1)).on_headers(200, list(EVENTS))
        await rig.has_begun()
        (await rig.asked(1)).on_failure(CLOSED)
        await rig.whole()


async def test_all_of_them_fail_and_the_last_ones_failure_is_told() -> None:
    async with several() as rig:
        rig.pool.error = UpstreamConnectError("refused")
        rig.ask_for()
        (await rig.asked(2)).on_failure(SILENT)
        whole = await rig.whole()
        assert (whole.status, orjson.loads(whole.body)["error"]["code"]) == (504, "upstream_timeout")
        billed_once(rig, "number-2", cost=0)


async def test_a_refusal_that_all_agree_on_is_passed_on() -> None:
    async with several() as rig:
        rig.ask_for()
        for number in (1, 2):
            answer(await rig.asked(number), 429, b'{"error":"slow down"}')
        whole = await rig.whole()
        assert (whole.status, whole.body) == (429, b'{"error":"slow down"}')


async def test_who_wants_no_more_is_left_alone_until_it_says() -> None:
    async with several() as rig:
        for _ in range(3):
            rig.ask_for()
            if not rig.tried[0]:
                sink = await rig.asked(1)
                sink.on_headers(429, [*JSON, (b"retry-after", b"30")])
                sink.on_end()
            answer(await rig.asked(2))
            assert (await rig.whole()).status == 200
            rig.pools[1].sent.clear()
        assert rig.tried[0] == 1


async def test_so_many_are_tried_and_no_more() -> None:
    async with several(count=5) as rig:
        for pool in rig.pools:
            pool.error = UpstreamConnectError("refused")
        assert (await rig.ask()).status == 502
        assert sorted(pool.tries for pool in rig.pools) == [0, 0] + [1] * MAX_ATTEMPTS


async def test_a_full_queue_is_told_and_not_tried_elsewhere() -> None:
    async with several() as rig:
        rig.pool.error = UpstreamBusy("full")
        whole = await rig.ask()
        assert (whole.status, orjson.loads(whole.body)["error"]["code"]) == (503, "overloaded")
        assert whole.headers["retry-after"] == "1" and rig.tried == [0, 0]


async def test_where_the_provider_bills_what_it_was_sent_that_is_not_sent_twice() -> None:
    async with several(upstream={"failover": "before_sent"}) as rig:
        rig.ask_for()
        (await rig.asked(1)).on_failure(CLOSED)
        assert ((await rig.whole()).status, rig.tried) == (502, [1, 0])


async def test_a_client_that_leaves_while_another_is_reached_pays_nothing() -> None:
    async with several() as rig:
        second = rig.pools[1]
        second.is_reached.clear()
        rig.ask_for()
        (await rig.asked(1)).on_failure(CLOSED)
        await until(lambda: second.tries == 1)
        rig.client.leave()
        await until(lambda: bool(rig.limits.settlements))
        entry = rig.limits.entry
        assert (entry.end_reason, entry.cost_nanos) == ("client_left", 0)


BREAKER = {"breaker": {"failures": 2, "open_s": 3600}}


async def test_who_fails_again_and_again_is_left_alone() -> None:
    async with several(upstream=BREAKER) as rig:
        rig.pool.error = UpstreamConnectError("refused")
        for number in range(8):
            rig.pools[1].sent.clear()
            rig.client.transport.written.clear()
            rig.ask_for()
            answer(await rig.asked(2))
            assert (await rig.whole()).status == 200
            rig.pool.error = None if number > 4 else rig.pool.error
        assert rig.pool.sent == [], "it is not even tried"


async def test_who_stands_alone_and_is_left_alone_is_refused_for() -> None:
    async with several(count=1, upstream=BREAKER) as rig:
        rig.pool.error = UpstreamConnectError("refused")
        for _ in range(2):
            assert (await rig.ask()).headers.get("retry-after") is None
            rig.client.transport.written.clear()
        rig.pool.error = None
        whole = await rig.ask()
        assert (whole.status, orjson.loads(whole.body)["error"]["code"]) == (502, "upstream_error")
        assert 3500 < int(whole.headers["retry-after"]) <= 3600 and rig.pool.sent == []


async def test_each_server_is_asked_in_its_own_words() -> None:
    async with several(
        upstream={"model_names": {"tiny": "org/tiny-it"}, "headers": {"x-org": "1"}},
        api_key="sk-second",
        headers={"X-Tier": "gold", "Authorization": "Basic abc"},
    ) as rig:
        rig.client.send(post(PATH, chat_body(), KEY, "X-Org: of-the-client", "X-Tier: of-the-client"))
        (await rig.asked(1)).on_failure(CLOSED)
        answer(await rig.asked(2))
        assert (await rig.whole()).body == GOOD
        first, second = rig.pools[0].sent[0], rig.pools[1].sent[0]
        assert orjson.loads(first.body) == orjson.loads(chat_body()) | {"model": "org/tiny-it"}
        assert second.body == chat_body(), "untouched"
        assert [value for name, value in first.headers if name == b"x-org"] == [b"1"]
        assert dict(first.headers)[b"authorization"] == b"Bearer sk-upstream"
        assert [value for name, value in second.headers if name == b"authorization"] == [b"Basic abc"]
        assert [value for name, value in second.headers if name == b"x-tier"] == [b"gold"]
        assert rig.limits.entry.model == "tiny"


async def test_what_is_added_for_a_model_is_sent_and_held_for() -> None:
    rig = Several()
    body = {"max_tokens": 7, "chat_template_kwargs": {"enable_thinking": False}, "logit_bias": None}
    rig.additions = [ModelAdditions.model_validate({"name": "tiny", "headers": {"x-tier": "gold"}, "body": body})]
    async with rig.serving():
        sent = chat_body(max_tokens=4000, Chat_Template_Kwargs={"enable_thinking": True}, logit_bias={"1": 1})
        rig.client.send(post(PATH, sent, KEY, "X-Tier: of-the-client"))
        (await rig.asked(1)).on_failure(CLOSED)
        answer(await rig.asked(2))
        await rig.whole()
        for pool in rig.pools:
            (request,) = pool.sent
            fields = orjson.loads(request.body)
            assert fields == orjson.loads(chat_body(max_tokens=7)) | {
                "chat_template_kwargs": {"enable_thinking": False}
            }
            assert [value for name, value in request.headers if name == b"x-tier"] == [b"gold"]
        (asked,) = rig.limits.admissions
        assert asked.tokens < 200, "the operator's limit bounds it"


async def test_the_hold_is_enough_wherever_the_request_ends_up() -> None:
    async with several(upstream={"max_output_tokens": 10}, max_output_tokens=1000) as rig:
        rig.ask_for()
        answer(await rig.asked(1))
        await rig.whole()
        (asked,) = rig.limits.admissions
        assert 1000 < asked.tokens < 1200
