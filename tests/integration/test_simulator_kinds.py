"""The simulator's kinds and formats over real sockets: as clients see them, and as its books count them."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import aiohttp
import openai
import pytest

from runtime.simulator.kinds import TRAITS, Format, Kind
from runtime.simulator.server import Simulator, start
from runtime.simulator.settings import SimulatorSettings
from tests.support.dialects import chat, chunks_of

POLL_S = 0.01
POLLS = 1_000
MESSAGES: Any = [{"role": "user", "content": "one two three"}]


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    simulator = await start(SimulatorSettings(kind=Kind.VLLM, tokens=3))
    yield simulator
    await simulator.stop()


@pytest.fixture
async def client(simulator: Simulator) -> AsyncIterator[aiohttp.ClientSession]:
    base = simulator.url.removesuffix("/v1")
    async with aiohttp.ClientSession(base, headers={"x-request-id": str(uuid4())}) as session:
        yield session


async def record_of(client: aiohttp.ClientSession, simulator: Simulator) -> dict[str, Any]:
    """The only record of this client, once it runs no more."""
    for _ in range(POLLS):
        records = simulator.records(client.headers["x-request-id"])
        if records and records[0]["state"] != "running":
            assert len(records) == 1
            return records[0]
        await asyncio.sleep(POLL_S)
    raise AssertionError("the simulator never got there")


async def test_the_server_poses_as_its_kind_and_a_request_or_a_path_may_order_another(
    client: aiohttp.ClientSession,
) -> None:
    seen = []
    for path, simulate in (("", None), ("/kinds/tgi", None), ("/kinds/tgi", {"kind": "deepseek"})):
        body = {"model": "tiny"} | chat(simulate)
        async with client.post(f"{path}/v1/chat/completions", json=body) as answer:
            seen.append(await answer.read())
    assert [data[:9] for data in seen] == [b'data: {"i', b'data: {"o', b": keep-al"]


@pytest.mark.parametrize("kind", [kind for kind in Kind if Format.CHAT in TRAITS[kind].formats])
async def test_the_openai_client_reads_every_kind(simulator: Simulator, kind: Kind) -> None:
    order = {"simulate": {"kind": kind.value}}
    async with openai.AsyncOpenAI(base_url=simulator.url, api_key="any", max_retries=0) as sdk:
        whole = await sdk.chat.completions.create(model="tiny", messages=MESSAGES, extra_body=order)
        assert whole.choices[0].message.content == "w0 w1 w2 "
        assert whole.usage is not None and whole.usage.total_tokens == 10
        stream = await sdk.chat.completions.create(model="tiny", messages=MESSAGES, stream=True, extra_body=order)
        text = ""
        async for chunk in stream:
            for choice in chunk.choices:
                text += choice.delta.content or ""
        assert text == "w0 w1 w2 "


async def test_the_openai_client_reads_responses_and_speech(simulator: Simulator) -> None:
    order = {"simulate": {"kind": "openai"}}
    async with openai.AsyncOpenAI(base_url=simulator.url, api_key="any", max_retries=0) as sdk:
        events = await sdk.responses.create(model="tiny", input="one two", stream=True, extra_body=order)
        last = [event async for event in events][-1]
        assert last.type == "response.completed"
        assert last.response.usage is not None and last.response.usage.output_tokens == 3
        sound = await sdk.audio.speech.create(model="tiny", voice="alloy", input="one two", extra_body=order)
        assert len(sound.content) == 3 * 128


async def test_a_form_is_transcribed(client: aiohttp.ClientSession, simulator: Simulator) -> None:
    form = aiohttp.FormData({"model": "tiny", "simulate": '{"kind":"openai","seconds":2}'})
    form.add_field("file", b"RIFF", filename="a.wav")
    async with client.post("/v1/audio/transcriptions", data=form) as answer:
        assert (await answer.json())["usage"]["input_token_details"] == {"text_tokens": 0, "audio_tokens": 20}
    record = await record_of(client, simulator)
    assert (record["seconds"], record["audio_tokens"], record["completion_tokens"]) == (2, 20, 3)


async def test_the_books_keep_the_parts(client: aiohttp.ClientSession, simulator: Simulator) -> None:
    simulate = {"tokens": 9, "cached_tokens": 4, "reasoning_tokens": 5, "hidden_tokens": 2}
    body = {"model": "tiny"} | chat(simulate, asked=True)
    async with client.post("/v1/chat/completions", json=body) as answer:
        usage = chunks_of(await answer.read())[-1]["usage"]
    record = await record_of(client, simulator)
    assert (record["kind"], record["format"], record["state"]) == ("vllm", "chat", "finished")
    assert (record["prompt_tokens"], record["completion_tokens"]) == (7, usage["completion_tokens"]) == (7, 9)
    assert (record["cached_tokens"], record["reasoning_tokens"]) == (4, 5)


@pytest.mark.parametrize(
    ("kind", "headers", "goes_on"),
    [
        ("vllm", {}, False),
        ("mistral", {}, True),
        ("groq", {}, True),
        ("llamacpp", {}, False),
        ("llamacpp", {"x-conversation-id": "a"}, True),
    ],
)
async def test_some_generate_on_when_the_client_has_left(
    client: aiohttp.ClientSession, simulator: Simulator, kind: str, headers: dict[str, str], goes_on: bool
) -> None:
    body = {"model": "tiny"} | chat({"kind": kind, "tokens": 1_000, "chunk_delay_ms": 20})
    async with client.post("/v1/chat/completions", json=body, headers=headers) as answer:
        await answer.content.readuntil(b'"w1 "')
        answer.close()
    record = await record_of(client, simulator)
    assert record["state"] == "client_left"
    assert (record["completion_tokens"] == 1_000) is goes_on
    assert record["completion_tokens"] >= 2


async def test_what_is_emitted_before_a_cut_is_in_the_running_count(
    client: aiohttp.ClientSession, simulator: Simulator
) -> None:
    options = {"include_usage": True, "continuous_usage_stats": True}
    body = {"model": "tiny"} | chat({"tokens": 9, "fault": "cut", "after_tokens": 5}, stream_options=options)
    data = b""
    async with client.post("/v1/chat/completions", json=body) as answer:
        with pytest.raises(aiohttp.ClientError):
            async for part in answer.content.iter_any():
                data += part
    record = await record_of(client, simulator)
    assert record["completion_tokens"] == 5
    assert b'"completion_tokens":5' in data
    assert b'"completion_tokens":6' not in data


async def test_errors_come_in_the_shape_of_the_kind(client: aiohttp.ClientSession) -> None:
    body = {"model": "tiny"} | chat(asked=True)
    async with client.post("/kinds/mistral/v1/chat/completions", json=body) as answer:
        assert (answer.status, b"extra_forbidden" in await answer.read()) == (422, True)
    async with client.post("/kinds/tgi/v1/responses", json={"model": "tiny", "input": "a"}) as answer:
        assert (answer.status, (await answer.json())["error_type"]) == (404, "validation")
    async with client.post("/kinds/ollama/api/chat", json={"model": "none", "messages": MESSAGES}) as answer:
        assert (answer.status, await answer.json()) == (404, {"error": "The model 'none' does not exist"})


async def test_tokens_are_counted_without_an_entry_in_the_books(
    client: aiohttp.ClientSession, simulator: Simulator
) -> None:
    async with client.post("/tokenize", json={"messages": MESSAGES}) as answer:
        assert (await answer.json())["count"] == 7
    async with client.post("/kinds/llamacpp/apply-template", json={"messages": MESSAGES}) as answer:
        prompt = (await answer.json())["prompt"]
    async with client.post("/kinds/llamacpp/tokenize", json={"content": prompt}) as answer:
        assert len((await answer.json())["tokens"]) == 7
    assert simulator.records() == []
