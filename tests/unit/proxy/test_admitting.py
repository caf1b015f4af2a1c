"""What a request is let in for: its price, its bound, and what it costs at most."""

from typing import Any, cast

import pytest

from ledger.money import MAX_NANOS
from metering.admission import Decision, Limits
from metering.bucket import MINUTE_MS, Bucket
from metering.endpoints import OLLAMA, OPENAI, Endpoint
from metering.pricing import PriceSheet
from metering.verdict import Outcome
from proxy import admitting
from proxy.admitting import Desk, Wanted
from proxy.failures import Failure
from proxy.prices import PriceBook
from proxy.routing import Route, Routes
from proxy.telemetry.pace import Pace
from runtime.settings import Listen
from tests.support.calls import IDENTITY, REQUEST_ID, chat_body, door_of, price, route
from tests.support.requests import made_request

BY_PATH = {each.path: each for each in (*OPENAI, *OLLAMA)}
CHAT = BY_PATH["/chat/completions"]


async def desk_of(served_by: Route) -> Desk:
    async def sheet() -> PriceSheet:
        return PriceSheet([price(image_nanos=1_000_000)])

    prices = PriceBook(sheet)
    await prices.refresh()
    return Desk(door_of(None), cast(Limits, None), prices, Routes([served_by]), Listen())


async def read(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch, upstream: dict[str, Any] | None = None, **body: Any
) -> Wanted:
    monkeypatch.setattr(admitting, "body_at_hand", lambda *_: chat_body(**body))
    desk = await desk_of(route(**(upstream or {})))
    return await desk.read(made_request("POST"), endpoint, Pace())


async def test_the_hold_is_the_dearest_that_it_can_become(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = await read(CHAT, monkeypatch, max_tokens=1000)
    output = 1000 * price().reasoning_nanos_per_1k // 1000
    assert (
        output < wanted.plan.worst_nanos <= output + wanted.plan.bound.input_tokens * price().cache_write_nanos_per_1k
    )
    assert wanted.tokens == wanted.plan.bound.input_tokens + 1000


async def test_a_picture_is_held_by_its_price(monkeypatch: pytest.MonkeyPatch) -> None:
    one = await read(BY_PATH["/images/generations"], monkeypatch, prompt="a cat")
    four = await read(BY_PATH["/images/generations"], monkeypatch, prompt="a cat", n=4)
    assert four.plan.first_nanos - one.plan.first_nanos >= 3_000_000


async def test_no_hold_is_larger_than_a_wallet(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = await read(CHAT, monkeypatch, max_tokens=10_000_000, n=128)
    assert wanted.plan.worst_nanos <= MAX_NANOS


async def test_the_operators_window_bounds_the_prompt(monkeypatch: pytest.MonkeyPatch) -> None:
    messages = [{"role": "user", "content": "x" * 100_000}]
    wanted = await read(CHAT, monkeypatch, {"context_tokens": 4096}, messages=messages)
    assert wanted.plan.bound.input_tokens == 4096


@pytest.mark.parametrize(("kind", "is_served"), [("ollama", True), ("vllm", False)])
async def test_ollamas_own_routes_are_ollamas(kind: str, is_served: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    try:
        await read(BY_PATH["/generate"], monkeypatch, {"kind": kind}, prompt="hi")
    except Failure as failure:
        assert (failure.code, is_served) == ("not_found", False)
    else:
        assert is_served


async def test_a_model_without_a_price(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Failure, match="model_not_priced"):
        await read(CHAT, monkeypatch, model="other")


@pytest.mark.parametrize(
    ("path", "body", "is_stepwise", "may_lower"),
    [
        ("/chat/completions", {"stream": True}, True, True),
        ("/chat/completions", {}, False, True),
        ("/completions", {"prompt": "hi"}, False, True),
        ("/responses", {"input": "hi"}, False, True),
        ("/messages", {"max_tokens": 9}, False, True),
        ("/embeddings", {"input": "hi"}, False, False),
        ("/rerank", {"query": "hi", "documents": ["a"]}, False, False),
        ("/images/generations", {"prompt": "a cat"}, False, False),
        ("/images/generations", {"prompt": "a cat", "stream": True}, False, False),
        # text is made of sound, but no field bounds it
        ("/audio/transcriptions", {}, False, False),
        ("/audio/transcriptions", {"stream": "true"}, True, False),
    ],
)
async def test_how_a_request_is_held(
    monkeypatch: pytest.MonkeyPatch, path: str, body: dict[str, Any], is_stepwise: bool, may_lower: bool
) -> None:
    plan = (await read(BY_PATH[path], monkeypatch, **body)).plan
    assert (plan.is_stepwise, plan.may_lower) == (is_stepwise, may_lower)
    assert plan.least_nanos <= plan.first_nanos <= plan.worst_nanos
    assert (plan.least_nanos < plan.worst_nanos) == (is_stepwise or may_lower)


async def test_thoughts_are_the_least_that_an_answer_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    thinking = {"type": "enabled", "budget_tokens": 1_024}
    plan = (await read(BY_PATH["/messages"], monkeypatch, max_tokens=2_000, thinking=thinking)).plan
    assert plan.lowered_limit(plan.least_nanos) == 1_025


@pytest.mark.parametrize(("paid", "limit"), [(100, None), (60, 60)])
async def test_a_hold_that_was_lowered_lowers_the_limit(
    paid: int, limit: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = await read(CHAT, monkeypatch, max_tokens=100)
    bucket, held = Bucket(60, MINUTE_MS, 0), wanted.plan.nanos_for(paid)
    decision = Decision(Outcome.ADMITTED, bucket, bucket, 0, held_nanos=held)
    desk, request = await desk_of(route()), made_request("POST")
    admitted = desk.admitted(request, REQUEST_ID, IDENTITY, wanted, decision)
    assert (admitted.held_nanos, admitted.lowered_limit) == (held, limit)
