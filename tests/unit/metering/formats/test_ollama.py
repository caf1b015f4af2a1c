from typing import Any

import pytest

from metering.formats.format import Ask, InvalidAsk
from metering.formats.ollama import ask_embedding, ask_generation, read, texts
from metering.reading import Reading


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, Ask("m", is_stream=True)),
        ({"stream": False}, Ask("m")),
        ({"options": {"num_predict": 9}}, Ask("m", is_stream=True, output_limit=9)),
        ({"options": {"num_predict": 0}}, Ask("m", is_stream=True, output_limit=0)),
        ({"options": {"num_predict": -1}}, Ask("m", is_stream=True)),
        ({"options": {"num_predict": -2}}, Ask("m", is_stream=True)),
        ({"options": None}, Ask("m", is_stream=True)),
    ],
)
def test_what_is_asked_for(fields: dict[str, Any], expected: Ask) -> None:
    assert ask_generation({"model": "m", **fields}) == expected


@pytest.mark.parametrize("limit", [-3, 1.5, "9", True, 10**8])
def test_a_limit_is_a_count_or_none(limit: Any) -> None:
    with pytest.raises(InvalidAsk, match="num_predict"):
        ask_generation({"model": "m", "options": {"num_predict": limit}})


def test_embeddings_generate_nothing() -> None:
    assert ask_embedding({"model": "m", "input": "a"}) == Ask("m", generates=False)


def test_a_prompt_that_is_not_told_of_is_not_a_prompt_of_none() -> None:
    said = read({"done": True, "eval_count": 3})
    assert (said.usage, said.is_end, said.is_finish) == (Reading(completion=3), True, True)


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ({"response": "a"}, ["a"]),
        ({"message": {"content": "a", "thinking": "b"}}, ["b", "a"]),
        ({"thinking": "b", "response": ""}, ["", "b"]),
        ({"message": {"tool_calls": [{"function": {"name": "f", "arguments": {"x": 1}}}]}}, ["f {'x': 1}"]),
        ({"message": None}, []),
    ],
)
def test_what_was_said(line: dict[str, Any], found: list[str]) -> None:
    assert [text for _, text in texts(line)] == found
