from typing import Any

import pytest

from runtime.simulator.dialects.counting import count
from runtime.simulator.errors import Refused
from runtime.simulator.kinds import Format, Kind
from tests.support.dialects import CHAT, chat, reply_of

RAW = {"messages": [{"role": "user", "content": [{"type": "text", "text": "one two"}]}, {"content": None}]}


def used(raw: dict[str, Any]) -> int:
    return reply_of("generic", CHAT, chat() | raw).job.prompt_tokens


def test_every_way_of_counting_a_chat_agrees_with_its_usage() -> None:
    expected = used(RAW)
    assert expected == 10
    assert count(Kind.VLLM, Format.TOKENIZE, RAW)["count"] == expected
    prompt = count(Kind.LLAMACPP, Format.APPLY_TEMPLATE, RAW)["prompt"]
    assert len(count(Kind.LLAMACPP, Format.TOKENIZE, {"content": prompt})["tokens"]) == expected
    assert len(count(Kind.TGI, Format.CHAT_TOKENIZE, RAW)["tokenize_response"]) == expected
    assert count(Kind.ANTHROPIC, Format.COUNT_MESSAGES, RAW) == {"input_tokens": expected}
    assert count(Kind.OPENAI, Format.COUNT_RESPONSES, {"input": "a"})["input_tokens"] == 5


@pytest.mark.parametrize("kind", [Kind.VLLM, Kind.SGLANG, Kind.GENERIC])
def test_a_prompt_has_its_words(kind: Kind) -> None:
    answer = count(kind, Format.TOKENIZE, {"prompt": "one two three"})
    assert (answer["count"], answer["tokens"]) == (3, [100, 101, 102])


def test_sglang_takes_lists_and_no_messages() -> None:
    assert count(Kind.SGLANG, Format.TOKENIZE, {"prompt": ["a b", "c"]})["count"] == [2, 1]
    with pytest.raises(Refused):
        count(Kind.SGLANG, Format.TOKENIZE, RAW)


def test_tokens_stand_where_they_are_in_the_text() -> None:
    text = "to be  or to be"
    tokens = count(Kind.TGI, Format.TOKENIZE, {"inputs": text})
    assert [text[token["start"] : token["stop"]] for token in tokens] == ["to", "be", "or", "to", "be"]


def test_generic_takes_the_field_for_its_server() -> None:
    assert len(count(Kind.GENERIC, Format.TOKENIZE, {"inputs": "a b"})) == 2
    assert count(Kind.GENERIC, Format.TOKENIZE, {"content": "a b"}) == {"tokens": [100, 101]}
