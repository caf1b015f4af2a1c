"""The official OpenAI client, unmodified: only its base URL and its key are ours."""

from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI, DefaultAsyncHttpxClient

from tests.support.calling import PROMPT, PROMPT_TOKENS
from tests.support.office import RATES, Customer, Office
from tests.support.program import GONE, OUTPUT_ONLY, TINY, Program

MESSAGES: Any = [{"role": "user", "content": PROMPT}]


class Counted:
    """A client, and the statuses of all the answers it got, those that it tried again after among them."""

    def __init__(self, program: Program, key: str, base: str = "/v1") -> None:
        self.statuses: list[int] = []
        self.client = AsyncOpenAI(
            base_url=program.base_url + base,
            api_key=key,
            max_retries=2,
            http_client=DefaultAsyncHttpxClient(event_hooks={"response": [self._count]}),
        )

    async def _count(self, response: Any) -> None:
        self.statuses.append(response.status_code)

    async def ask(self, model: str = TINY, **how: Any) -> Any:
        return await self.client.chat.completions.create(model=model, messages=MESSAGES, **how)


@pytest.fixture
async def customer(office: Office) -> Customer:
    return await office.customer()


@pytest.fixture(params=["/v1", "/api/v1"])
async def openai_client(request: pytest.FixtureRequest, program: Program, customer: Customer) -> AsyncIterator[Counted]:
    counted = Counted(program, customer.key, request.param)
    yield counted
    await counted.client.close()


def simulate(**orders: Any) -> dict[str, Any]:
    return {"extra_body": {"simulate": orders}}


async def test_an_answer(openai_client: Counted, office: Office, customer: Customer) -> None:
    answer = await openai_client.ask(**simulate(tokens=5))
    assert answer.choices[0].message.content == "w0 w1 w2 w3 w4 "
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (PROMPT_TOKENS, 5)
    await office.settled()
    assert await office.balance_nanos(customer) == customer.start_nanos - RATES[TINY].cost(PROMPT_TOKENS, 5)


async def test_a_stream(openai_client: Counted, office: Office, customer: Customer) -> None:
    stream = await openai_client.ask(stream=True, **simulate(tokens=5, chunk_delay_ms=1))
    chunks = [chunk async for chunk in stream]
    assert all(chunk.choices and chunk.usage is None for chunk in chunks)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "w0 w1 w2 w3 w4 "
    assert chunks[-1].choices[0].finish_reason == "stop"
    await office.settled()
    assert await office.balance_nanos(customer) == customer.start_nanos - RATES[TINY].cost(PROMPT_TOKENS, 5)


async def test_a_stream_with_usage(openai_client: Counted) -> None:
    stream = await openai_client.ask(stream=True, stream_options={"include_usage": True}, **simulate(tokens=5))
    *_, last = [chunk async for chunk in stream]
    assert last.choices == []
    assert (last.usage.prompt_tokens, last.usage.completion_tokens) == (PROMPT_TOKENS, 5)


async def test_models_that_can_be_used(openai_client: Counted) -> None:
    models = {model.id async for model in openai_client.client.models.list()}
    assert {TINY, OUTPUT_ONLY} <= models
    assert models <= set(RATES)


async def test_a_wrong_key(program: Program) -> None:
    counted = Counted(program, "pp_live-" + "x" * 32)
    with pytest.raises(openai.AuthenticationError) as caught:
        await counted.ask()
    assert (caught.value.code, counted.statuses) == ("invalid_api_key", [401])
    await counted.client.close()


async def test_an_unknown_model(openai_client: Counted) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        await openai_client.ask("no-such-model")
    assert (caught.value.code, caught.value.param) == ("model_not_found", "model")
    assert openai_client.statuses == [404]


async def test_a_bad_request(openai_client: Counted) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        await openai_client.ask(max_tokens=-1)
    assert caught.value.param == "max_tokens"
    assert openai_client.statuses == [400]


async def test_an_empty_wallet_is_not_tried_again(program: Program, office: Office) -> None:
    counted = Counted(program, (await office.customer(0)).key)
    with pytest.raises(openai.APIStatusError) as caught:
        await counted.ask()
    assert (caught.value.status_code, caught.value.code) == (402, "insufficient_balance")
    assert counted.statuses == [402]
    await counted.client.close()


async def test_a_limit_of_requests(program: Program, office: Office) -> None:
    counted = Counted(program, (await office.customer(rpm=1)).key)
    await counted.ask()
    with pytest.raises(openai.RateLimitError) as caught:
        await counted.client.with_options(max_retries=0).chat.completions.create(model=TINY, messages=MESSAGES)
    assert caught.value.code == "rate_limit_exceeded"
    assert counted.statuses == [200, 429]
    await counted.client.close()


async def test_a_client_that_is_told_when_to_come_back_comes_back_and_is_served(
    program: Program, office: Office
) -> None:
    """60 requests a minute bring one a second: the client waits as long as `retry-after` says, and no longer."""
    counted = Counted(program, (await office.customer(rpm=60)).key)
    while 429 not in counted.statuses:
        await counted.ask()
    assert counted.statuses[-2:] == [429, 200]
    await counted.client.close()


async def test_a_failing_upstream(program: Program, customer: Customer) -> None:
    counted = Counted(program, customer.key)
    with pytest.raises(openai.InternalServerError) as caught:
        await counted.client.with_options(max_retries=0).chat.completions.create(model=GONE, messages=MESSAGES)
    assert (caught.value.status_code, caught.value.code) == (502, "upstream_error")
    await counted.client.close()


async def test_a_stream_that_breaks_off_raises_what_it_was_told(openai_client: Counted) -> None:
    stream = await openai_client.ask(stream=True, **simulate(tokens=9, fault="cut", after_chunks=4))
    words = []
    with pytest.raises(openai.APIError) as caught:
        async for chunk in stream:
            words.append(chunk.choices[0].delta.content)  # noqa: PERF401 - it ends in the middle
    assert words == ["", "w0 ", "w1 ", "w2 "]
    assert caught.value.code == "upstream_error"
