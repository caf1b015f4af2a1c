"""Which texts are counted where nobody reports, and what comes on top."""

from typing import Any

import pytest

from metering.estimate.likely import likely_audio_ms, likely_tokens_in, media_tokens, prompt_overhead, prompt_texts
from tests.support.corpus import encoding
from tests.unit.metering.estimate.test_audio import wav

CHAT: dict[str, Any] = {
    "model": "gpt-4o",
    "messages": [
        {"role": "system", "content": "be brief"},
        {
            "role": "user",
            "content": [{"type": "text", "text": "look"}, {"type": "image_url", "image_url": {"url": "https://x"}}],
        },
    ],
    "tools": [{"type": "function", "function": {"name": "f"}}],
    "user": "not read",
    "reasoning_effort": "high",
}


def test_texts_in_their_order_and_no_media() -> None:
    tool = '[{"type":"function","function":{"name":"f"}}]'
    assert prompt_texts(CHAT) == [tool, "system", "be brief", "user", "look"]


@pytest.mark.parametrize(
    ("fields", "texts"),
    [
        ({"prompt": ["a", "b"], "suffix": "c"}, ["a", "b", "c"]),
        ({"input": "a", "instructions": "b"}, ["b", "a"]),
        ({"input": "a", "encoding_format": "float", "dimensions": 3}, ["a"]),
        ({"query": "q", "documents": ["d", {"text": "e"}]}, ["q", "d", "e"]),
        ({"prompt": [1, 2]}, []),
        ({"system": [{"type": "text", "text": "s"}], "messages": []}, ["s"]),
        ({"prompt": "p", "system": "s", "options": {"stop": ["x"]}}, ["s", "p"]),
    ],
)
def test_the_other_formats(fields: dict[str, Any], texts: list[str]) -> None:
    assert prompt_texts(fields) == texts


def test_the_cookbooks_own_example() -> None:
    # "How to count tokens with tiktoken": 124 as the API reports it of gpt-4o
    said = [
        (
            "system",
            "You are a helpful, pattern-following assistant that translates corporate jargon into plain English.",
        ),
        ("example_user", "New synergies will help drive top-line growth."),
        ("example_assistant", "Things working well together will increase revenue."),
        (
            "example_user",
            "Let's circle back when we have more bandwidth to touch base on opportunities for increased leverage.",
        ),
        ("example_assistant", "Let's talk later when we're less busy about how to do better."),
    ]
    messages = [
        {"role": "system", "content": text} | ({} if name == "system" else {"name": name}) for name, text in said
    ]
    messages.append(
        {
            "role": "user",
            "content": "This late pivot means we don't have time to boil the ocean for the client deliverable.",
        }
    )
    fields = {"model": "gpt-4o", "messages": messages}
    counted = sum(len(encoding("o200k_base").encode_ordinary(text)) for text in prompt_texts(fields))
    assert abs(counted + prompt_overhead(fields) - 124) <= 4


def test_frames_token_ids_and_media_cost_beside_the_texts() -> None:
    assert prompt_overhead({"messages": [{"role": "user", "content": "hi"}] * 2}) == 3 * 2 + 3
    assert prompt_overhead({"prompt": [1, 2, 3]}) == 3
    assert prompt_overhead({"input": "hi"}) == 0
    assert prompt_overhead(CHAT) == 3 * 2 + 3 + 765, "a picture of the usual size"


def test_a_query_costs_again_with_each_document() -> None:
    assert prompt_overhead({"query": "12345678", "documents": ["a"] * 10}) == 9 * 2


def test_media_as_they_usually_are() -> None:
    raw = wav(10)
    assert media_tokens({"model": "m", "file": {"file_bytes": len(raw), "head": raw}}) == 100
    mp3 = {"file_bytes": 80_000, "head": b"ID3"}
    assert media_tokens({"file": mp3}) == 100
    pdf = {"type": "file", "file": {"file_data": "B" * 4 * 1600}}
    assert media_tokens({"messages": [{"role": "user", "content": [pdf]}]}) == 300


def test_the_length_is_the_last_resort() -> None:
    assert [likely_tokens_in(n) for n in (0, 1, 4, 5)] == [0, 1, 1, 2]


def test_only_recordings_in_a_form_are_billed_by_the_minute() -> None:
    assert likely_audio_ms({"file": {"file_bytes": 80_000, "head": b"ID3"}}) == 10_000
    part = {"type": "input_audio", "input_audio": {"data": "A" * 40_000, "format": "mp3"}}
    assert likely_audio_ms({"messages": [{"role": "user", "content": [part]}]}) == 0
