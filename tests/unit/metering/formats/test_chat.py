"""Chat completions: what is asked for, and what counts as said."""

from typing import Any

import pytest

from metering.formats.chat import ask, check_stream_options, read, texts
from metering.formats.format import Ask, InvalidAsk

MESSAGES = [{"role": "user", "content": "hi"}]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, Ask("m")),
        ({"stream": True, "n": 4}, Ask("m", is_stream=True, candidates=4)),
        ({"max_tokens": 5}, Ask("m", output_limit=5)),
        ({"max_tokens": 5, "max_completion_tokens": 9}, Ask("m", output_limit=9)),
    ],
)
def test_what_is_asked_for(fields: dict[str, Any], expected: Ask) -> None:
    assert ask({"model": "m", "messages": MESSAGES, **fields}) == expected


@pytest.mark.parametrize("options", [[], "x", 1, True])
def test_options_are_an_object(options: Any) -> None:
    with pytest.raises(InvalidAsk):
        check_stream_options({"stream_options": options})


@pytest.mark.parametrize("where", ["delta", "message"])
def test_all_that_was_generated_counts_and_nothing_else(where: str) -> None:
    said = {
        "role": "assistant",
        "content": "a",
        "reasoning_content": "b",
        "reasoning": "c",
        "refusal": "d",
        "audio": {"id": "x", "transcript": "e", "data": "AAAA"},
        "tool_calls": [{"index": 0, "id": "call_1", "function": {"name": "f", "arguments": "{}"}}],
        "function_call": {"name": "g", "arguments": "[]"},
        "annotations": ["no"],
    }
    chunk = {"choices": [{"index": 0, where: said, "logprobs": {"content": ["no"]}}], "obfuscation": "no"}
    assert sorted(text for _, text in texts(chunk)) == sorted(["a", "b", "c", "d", "e", "f", "{}", "g", "[]"])


@pytest.mark.parametrize("chunk", [{}, {"choices": None}, {"choices": ["x", {}]}, {"choices": [{"delta": "x"}]}])
def test_odd_chunks_say_nothing(chunk: dict[str, Any]) -> None:
    assert list(texts(chunk)) == []
    assert read(chunk).usage.is_empty


def test_texts_of_different_choices_stay_apart() -> None:
    chunk = {"choices": [{"index": i, "delta": {"content": "x"}} for i in (0, 1)]}
    assert len({where for where, _ in texts(chunk)}) == 2
