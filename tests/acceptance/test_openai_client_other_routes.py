"""The official OpenAI client on all the routes but chat: what it got, and what that was counted as."""

from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI

from tests.support.office import RATES, Customer, Office
from tests.support.program import TINY, Program


@pytest.fixture
async def customer(office: Office) -> Customer:
    return await office.customer()


@pytest.fixture
async def client(program: Program, customer: Customer) -> AsyncIterator[AsyncOpenAI]:
    made = AsyncOpenAI(base_url=f"{program.base_url}/v1", api_key=customer.key, max_retries=0)
    yield made
    await made.close()


def simulate(**orders: Any) -> dict[str, Any]:
    return {"extra_body": {"simulate": orders}}


async def counted(office: Office, customer: Customer, endpoint: str) -> dict[str, Any]:
    """The one usage row, debited at its price."""
    row = await office.only_usage(customer)
    await office.settled()
    assert row["endpoint"] == endpoint
    assert row["end_reason"] == "completed", row
    read = row["input_tokens"] + row["audio_input_tokens"]
    assert row["cost"] == RATES[TINY].cost(read, row["output_tokens"] + row["reasoning_tokens"]), row
    assert await office.balance_nanos(customer) == customer.start_nanos - row["cost"]
    return row


@pytest.mark.parametrize("stream", [False, True])
async def test_legacy_completions(client: AsyncOpenAI, office: Office, customer: Customer, stream: bool) -> None:
    made: Any = await client.completions.create(model=TINY, prompt="one two", stream=stream, **simulate(tokens=5))
    text = "".join([part.choices[0].text async for part in made]) if stream else made.choices[0].text
    assert text == "w0 w1 w2 w3 w4 "
    row = await counted(office, customer, "/v1/completions")
    assert (row["output_tokens"], row["usage_source"]) == (5, "reported")


@pytest.mark.parametrize("stream", [False, True])
async def test_responses(client: AsyncOpenAI, office: Office, customer: Customer, stream: bool) -> None:
    made: Any = await client.responses.create(
        model=TINY, input="one two", stream=stream, **simulate(tokens=7, reasoning_tokens=2)
    )
    if stream:
        events = [event async for event in made]
        assert events[-1].type == "response.completed"
        usage = events[-1].response.usage
    else:
        usage = made.usage
    row = await counted(office, customer, "/v1/responses")
    assert (usage.output_tokens, row["output_tokens"], row["reasoning_tokens"]) == (7, 5, 2)
    assert row["usage_source"] == "reported"


async def test_a_response_that_would_be_fetched_later_is_refused(
    client: AsyncOpenAI, office: Office, customer: Customer
) -> None:
    with pytest.raises(openai.BadRequestError, match="background"):
        await client.responses.create(model=TINY, input="one two", background=True)
    assert await office.usage_rows(customer) == []


async def test_embeddings(client: AsyncOpenAI, office: Office, customer: Customer) -> None:
    made = await client.embeddings.create(model=TINY, input=["one two", "three"])
    assert len(made.data) == 2
    row = await counted(office, customer, "/v1/embeddings")
    assert (row["input_tokens"], row["output_tokens"], row["usage_source"]) == (made.usage.prompt_tokens, 0, "reported")


async def test_a_recording_is_sent_as_a_form(client: AsyncOpenAI, office: Office, customer: Customer) -> None:
    made: Any = await client.audio.transcriptions.create(
        model=TINY, file=("speech.wav", b"RIFF" + b"\0" * 5000), response_format="json"
    )
    row = await counted(office, customer, "/v1/audio/transcriptions")
    assert made.text and made.usage.type == "tokens"
    assert (row["usage_source"], row["audio_input_tokens"] > 0) == ("reported", True)


async def test_speech_is_sound(client: AsyncOpenAI, office: Office, customer: Customer) -> None:
    made = await client.audio.speech.create(model=TINY, voice="alloy", input="say this aloud")
    assert len(await made.aread()) > 0
    row = await counted(office, customer, "/v1/audio/speech")
    assert (row["usage_source"], row["output_tokens"]) == ("estimated", 0)
    assert row["input_tokens"] > 0


async def test_pictures(client: AsyncOpenAI, office: Office, customer: Customer) -> None:
    made = await client.images.generate(model=TINY, prompt="a cat", n=2)
    assert made.data is not None and len(made.data) == 2
    row = await office.only_usage(customer)
    assert (row["images"], row["end_reason"]) == (2, "completed")
    await office.settled()


async def test_one_model(client: AsyncOpenAI) -> None:
    assert (await client.models.retrieve(TINY)).id == TINY
    with pytest.raises(openai.NotFoundError):
        await client.models.retrieve("unheard-of")
