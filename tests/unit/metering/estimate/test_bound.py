"""The bound is never below what is then used, and not absurd where a request is plain.

What a server sees is written out here as the chattiest of the open models' templates do it, and counted by whichever
of two vocabularies has more for it.
"""

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering.endpoints import OLLAMA, OPENAI
from metering.estimate.bound import Bound, bound, highest
from metering.kinds import KINDS
from tests.support.corpus import TEXTS, most_counted
from tests.unit.metering.estimate.test_audio import wav
from tests.unit.metering.estimate.test_image_size import png

FORMATS = {each.name: each.wire for each in (*OPENAI, *OLLAMA)}
DEFAULT = 4096
HI = {"messages": [{"role": "user", "content": "hi"}]}


def bound_of(path: str, fields: dict[str, Any], kind: str = "generic", **more: Any) -> Bound:
    fields = {"model": "m", **fields}
    return bound(FORMATS[path].ask(fields), fields, DEFAULT, KINDS[kind], **more)


def as_json(value: Any) -> int:
    """Llama's templates write tools with four spaces of indentation."""
    return most_counted(json.dumps(value, indent=4, ensure_ascii=False))


def counted(messages: list[dict[str, Any]], tools: list[Any]) -> int:
    """Three control tokens and a line break frame a message; a call is JSON, once more framed."""
    total = 30 + (250 + sum(as_json(tool) + 2 for tool in tools) if tools else 0)
    for message in messages:
        total += 5 + most_counted(message["role"])
        content = message["content"]
        total += sum(
            as_json({"name": part["name"], "arguments": part["input"]}) + 6
            if part["type"] == "tool_use"
            else most_counted(part["text"]) + 1
            for part in (content if isinstance(content, list) else [{"type": "text", "text": content}])
        )
        for call in message.get("tool_calls", ()):
            total += 6 + as_json({"name": call["function"]["name"]}) + most_counted(call["function"]["arguments"])
    return total


texts = st.one_of(
    st.text(st.characters(codec="utf-8"), max_size=60),
    st.text("abcdefghijklmnopqrstuvwxyz ,.\n", max_size=300),
    st.text("0123456789,.-", max_size=60),
    st.sampled_from([text for text in TEXTS.values() if len(text) < 500]),
)
words = st.text("abcdefghijklmnopqrstuvwxyz_", min_size=1, max_size=20)
schemas = st.recursive(
    st.fixed_dictionaries({"type": st.sampled_from(["string", ["number", "null"]])}, optional={"description": texts}),
    lambda inner: st.fixed_dictionaries(
        {"type": st.just("object"), "properties": st.dictionaries(words, inner, max_size=4)},
        optional={"required": st.lists(words, max_size=3), "additionalProperties": st.booleans()},
    ),
    max_leaves=6,
)
functions = st.fixed_dictionaries({"name": words, "description": texts, "parameters": schemas})
tools = st.lists(st.fixed_dictionaries({"type": st.just("function"), "function": functions}), max_size=3)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**9), 10**9) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=6,
)
calls = st.fixed_dictionaries(
    {
        "id": st.just("call_1"),
        "type": st.just("function"),
        "function": st.fixed_dictionaries({"name": words, "arguments": values.map(json.dumps)}),
    }
)
text_parts = st.fixed_dictionaries({"type": st.just("text"), "text": texts})
used_tools = st.fixed_dictionaries(
    {"type": st.just("tool_use"), "name": words, "input": st.dictionaries(words, values, max_size=3)}
)
roles = st.sampled_from(["system", "user", "assistant", "tool", "developer"])
chats = st.lists(
    st.fixed_dictionaries(
        {"role": roles, "content": texts | st.lists(text_parts | used_tools, max_size=3)},
        optional={"tool_calls": st.lists(calls, max_size=2)},
    ),
    min_size=1,
    max_size=5,
)


@given(chats, tools)
def test_a_chat_never_has_more_tokens_than_its_bound(messages: list[dict[str, Any]], tools: list[Any]) -> None:
    fields = {"messages": messages, "tools": tools, "max_tokens": 10}
    for path in ("/v1/chat/completions", "/v1/messages", "/api/chat"):
        assert bound_of(path, fields).input_tokens >= counted(messages, tools)


@given(chats, tools, texts)
def test_responses_neither(items: list[dict[str, Any]], tools: list[Any], instructions: str) -> None:
    fields = {"input": items, "tools": tools, "instructions": instructions}
    said = [{"role": "system", "content": instructions}, *items]
    assert bound_of("/v1/responses", fields).input_tokens >= counted(said, tools)


@given(st.lists(texts, min_size=1, max_size=20))
def test_nor_prompts_and_inputs_each_with_its_own_beginning_and_end(given_texts: list[str]) -> None:
    used = sum(most_counted(text) + 2 for text in given_texts)
    assert bound_of("/v1/completions", {"prompt": given_texts}).input_tokens >= used
    assert bound_of("/v1/embeddings", {"input": given_texts}).input_tokens >= used
    assert bound_of("/api/embed", {"input": given_texts}).input_tokens >= used


@given(texts, st.lists(texts, min_size=1, max_size=20))
def test_nor_a_ranking_which_reads_the_query_with_each_document(query: str, documents: list[str]) -> None:
    used = sum(most_counted(query) + most_counted(text) + 4 for text in documents)
    assert bound_of("/v1/rerank", {"query": query, "documents": documents}).input_tokens >= used


@given(texts, texts, texts, st.lists(st.integers(0, 200_000), max_size=20))
def test_nor_the_rest(prompt: str, suffix: str, system: str, context: list[int]) -> None:
    legacy = {"prompt": prompt, "suffix": suffix}
    assert bound_of("/v1/completions", legacy).input_tokens >= most_counted(prompt) + most_counted(suffix) + 5
    ollama = {"prompt": prompt, "system": system, "context": context}
    assert bound_of("/api/generate", ollama).input_tokens >= (
        most_counted(prompt) + most_counted(system) + len(context) + 30
    )
    assert bound_of("/v1/audio/speech", {"input": prompt}).input_tokens >= most_counted(prompt)
    assert bound_of("/v1/images/generations", {"prompt": prompt}).input_tokens >= most_counted(prompt) + 32


def test_many_of_almost_nothing_are_many_frames() -> None:
    chat = [{"role": "user", "content": "a"}] * 1000
    assert bound_of("/v1/chat/completions", {"messages": chat}).input_tokens >= counted(chat, [])
    empty = [""] * 1000
    assert bound_of("/v1/embeddings", {"input": empty}).input_tokens >= 2 * 1000
    assert bound_of("/v1/rerank", {"query": "", "documents": empty}).input_tokens >= 4 * 1000


@pytest.mark.parametrize("text", ["prose", "english", "python", "sql", "french", "russian", "chinese"])
def test_of_a_plain_request_it_is_not_absurd(text: str) -> None:
    fields = {"messages": [{"role": "user", "content": TEXTS[text] * 20}]}
    used = most_counted(TEXTS[text] * 20)
    assert used <= bound_of("/v1/chat/completions", fields).input_tokens <= 3.3 * used


def test_of_tools_neither() -> None:
    names = ("query", "limit", "language")
    parameters = {
        "type": "object",
        "properties": {name: {"type": "string", "description": "What it is."} for name in names},
    }
    tools = [{"type": "function", "function": {"name": f"search_{at}", "parameters": parameters}} for at in range(10)]
    used = sum(most_counted(json.dumps(tool)) for tool in tools)
    assert used <= bound_of("/v1/chat/completions", {**HI, "tools": tools}).input_tokens <= 4 * used


@pytest.mark.parametrize(
    ("path", "fields", "output"),
    [
        ("/v1/chat/completions", {}, DEFAULT),
        ("/v1/chat/completions", {"max_tokens": 10, "n": 3}, 30),
        ("/v1/completions", {"prompt": ["a", "b"], "best_of": 3, "max_tokens": 5}, 30),
        ("/v1/completions", {"prompt": [[1, 2], [3]], "max_tokens": 5}, 10),
        ("/v1/completions", {"prompt": [1, 2, 3], "max_tokens": 5}, 5),
        ("/v1/responses", {"input": "hi", "max_output_tokens": 9}, 9),
        ("/v1/messages", {"max_tokens": 9}, 9),
        ("/v1/embeddings", {"input": "hi"}, 0),
        ("/v1/rerank", {"query": "q", "documents": ["d"]}, 0),
        ("/v1/audio/speech", {"input": "hi"}, 0),
        ("/v1/images/generations", {"prompt": "a cat"}, 0),
        ("/api/generate", {"prompt": "hi", "options": {"num_predict": 7}}, 7),
        ("/api/generate", {"prompt": "hi", "options": {"num_predict": 0}}, 0),
        ("/api/generate", {"prompt": "hi", "options": {"num_predict": -1}}, DEFAULT),
        ("/api/embed", {"input": "hi"}, 0),
    ],
)
def test_what_may_be_generated(path: str, fields: dict[str, Any], output: int) -> None:
    assert bound_of(path, {**HI, **fields}).output_tokens == output


def test_what_a_prediction_gets_wrong_is_generated_too() -> None:
    prediction = {"type": "content", "content": "hello " * 100}
    found = bound_of("/v1/chat/completions", {**HI, "prediction": prediction, "max_tokens": 10, "n": 2})
    assert found.output_tokens >= 2 * (10 + most_counted("hello " * 100))


def test_pictures_and_speech_that_are_reported_in_tokens() -> None:
    drawn = bound_of("/v1/images/generations", {"model": "gpt-image-1", "prompt": "a cat", "n": 2, "quality": "low"})
    assert (drawn.images, drawn.output_tokens) == (2, 2 * 708)
    spoken = bound_of("/v1/audio/speech", {"input": "hello " * 50, "stream_format": "sse"})
    # 300 letters at 14 a second, 20 tokens a second
    assert spoken.output_tokens >= 20 * 300 // 14


def test_a_server_that_gives_one_choice_is_held_to_one() -> None:
    assert bound_of("/v1/chat/completions", {**HI, "n": 5, "max_tokens": 10}, "ollama").output_tokens == 10


def test_what_is_spoken_is_held_at_the_price_of_sound() -> None:
    found = bound_of("/v1/chat/completions", {**HI, "modalities": ["text", "audio"], "max_tokens": 10})
    assert (found.output_tokens, found.audio_output_tokens) == (0, 10)


@pytest.mark.parametrize(
    ("path", "fields", "times"),
    [
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": "x" * 100_000}]}, 1),
        ("/v1/completions", {"prompt": ["x" * 100_000] * 3}, 3),
        ("/v1/embeddings", {"input": ["x" * 100_000] * 3}, 3),
        ("/v1/rerank", {"query": "x" * 100_000, "documents": ["a"] * 3}, 3),
    ],
)
def test_no_more_can_be_read_at_once_than_fits_the_context(path: str, fields: dict[str, Any], times: int) -> None:
    assert bound_of(path, fields, context_tokens=8192).input_tokens == 8192 * times


def test_sound_takes_its_room_in_the_context_first() -> None:
    audio = {"type": "input_audio", "input_audio": {"data": "A" * 100_000, "format": "mp3"}}
    fields = {"messages": [{"role": "user", "content": [audio, {"type": "text", "text": "x" * 10_000}]}]}
    found = bound_of("/v1/chat/completions", fields, context_tokens=3000)
    assert (found.audio_input_tokens, found.input_tokens) == (2432, 568)


def test_a_recording_is_held_by_the_minute_and_by_its_tokens() -> None:
    raw = wav(60)
    found = bound_of(
        "/v1/audio/transcriptions", {"model": "gpt-4o-transcribe", "file": {"file_bytes": len(raw), "head": raw[:64]}}
    )
    assert 60_000 <= found.audio_ms <= 60_010
    assert 600 <= found.audio_input_tokens <= 620
    assert found.output_tokens == DEFAULT
    other = bound_of("/v1/audio/transcriptions", {"file": {"file_bytes": 60_000, "head": b"ID3"}})
    assert (other.audio_ms, other.audio_input_tokens) == (60_000, 32 * 61)


def test_sound_in_a_chat_is_not_billed_by_the_minute() -> None:
    sent = base64.b64encode(wav(10)).decode()
    audio = {"type": "input_audio", "input_audio": {"data": sent, "format": "wav"}}
    found = bound_of(
        "/v1/chat/completions", {"model": "gpt-4o-audio", "messages": [{"role": "user", "content": [audio]}]}
    )
    assert found.audio_ms == 0 and 100 <= found.audio_input_tokens <= 120
    assert found.input_tokens < 200


def test_a_picture_is_held_by_its_size_and_a_file_by_its_bytes() -> None:
    encoded = base64.b64encode(png(1024, 1024) + b"\0" * 700_000).decode()
    picture = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{encoded}"}}
    file = {"type": "file", "file": {"file_data": "A" * 4000}}
    fields = {"model": "gpt-4o", "messages": [{"role": "user", "content": [picture]}]}
    assert 765 <= bound_of("/v1/chat/completions", fields).input_tokens <= 900
    fields["messages"][0]["content"] = [file]  # type: ignore[index]
    assert 3000 <= bound_of("/v1/chat/completions", fields).input_tokens <= 3200


def test_edits_have_their_pictures_in_a_form() -> None:
    form = {"model": "gpt-image-1", "prompt": "a hat", "image": {"file_bytes": 9, "head": png(512, 512)}, "n": "2"}
    assert (
        bound_of("/v1/images/edits", form).input_tokens
        > bound_of("/v1/images/generations", {"prompt": "a hat"}).input_tokens
    )


def test_what_only_the_server_knows_has_a_floor() -> None:
    fields = {"input": "hi", "previous_response_id": "resp_1", "tools": [{"type": "file_search"}]}
    assert bound_of("/v1/responses", fields).input_tokens >= 2 * 16_384
    assert bound_of("/v1/responses", fields, context_tokens=8192).input_tokens == 8192


def test_the_highest_of_two_is_enough_for_both() -> None:
    one, other = Bound(input_tokens=1, output_tokens=9, images=2), Bound(input_tokens=3, audio_ms=4)
    assert highest(one, other) == highest(other, one) == Bound(3, 9, images=2, audio_ms=4)
