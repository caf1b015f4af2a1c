from typing import Any

import orjson
import pytest

from runtime.simulator.errors import Refused
from runtime.simulator.plan import Plan, read_chat
from runtime.simulator.settings import SimulatorSettings

SETTINGS = SimulatorSettings(models=("tiny", "large"), tokens=20)
ONE_WORD = [{"role": "user", "content": "hello"}]


def plan_of(**fields: Any) -> Plan:
    return read_chat(orjson.dumps({"model": "tiny", "messages": ONE_WORD} | fields), SETTINGS)


@pytest.mark.parametrize(
    ("messages", "tokens"),
    [
        (ONE_WORD, 5),
        ([{"role": "user", "content": " two\n words\t"}], 6),
        ([{"role": "user", "content": ""}], 4),
        ([{"role": "assistant", "content": None}, *ONE_WORD], 9),
        ([{"role": "user", "content": [{"type": "text", "text": "a b c"}, {"type": "image_url"}]}], 7),
    ],
)
def test_a_prompt_costs_its_words_and_four_per_message(messages: list[Any], tokens: int) -> None:
    assert plan_of(messages=messages).prompt_tokens == tokens


@pytest.mark.parametrize(
    ("asked", "tokens", "reason"),
    [
        ({}, 20, "stop"),
        ({"max_tokens": None}, 20, "stop"),
        ({"max_tokens": 20}, 20, "stop"),
        ({"max_tokens": 19}, 19, "length"),
        ({"max_completion_tokens": 3}, 3, "length"),
        ({"max_tokens": 5, "max_completion_tokens": 4}, 4, "length"),
        ({"simulate": {"tokens": 50}, "max_tokens": 60}, 50, "stop"),
        ({"simulate": {"tokens": 0}}, 0, "stop"),
    ],
)
def test_an_answer_is_as_long_as_ordered_but_no_longer_than_asked(
    asked: dict[str, Any], tokens: int, reason: str
) -> None:
    plan = plan_of(**asked)
    assert (plan.tokens, plan.completion_tokens, plan.finish_reason) == (tokens, tokens, reason)


def test_each_choice_costs_its_tokens() -> None:
    assert plan_of(n=3).completion_tokens == 60


def test_usage_is_included_if_asked_for_and_not_ordered_away() -> None:
    asked = {"stream": True, "stream_options": {"include_usage": True}}
    assert plan_of(**asked).include_usage
    assert not plan_of(**asked, simulate={"usage": False}).include_usage
    assert not plan_of(stream=True).include_usage
    assert not plan_of(stream=True, stream_options={}).include_usage


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"messages": None}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": "hello"}, "messages"),
        ({"messages": ["hello"]}, "messages[0]"),
        ({"messages": [*ONE_WORD, {"role": "user", "content": 5}]}, "messages[1].content"),
        ({"model": None}, "model"),
        ({"model": 1}, "model"),
        ({"stream": "yes"}, "stream"),
        ({"stream_options": {"include_usage": True}}, "stream_options"),
        ({"stream": True, "stream_options": 1}, "stream_options"),
        ({"stream": True, "stream_options": {"include_usage": 1}}, "stream_options.include_usage"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": "9"}, "max_tokens"),
        ({"max_completion_tokens": -1}, "max_completion_tokens"),
        ({"n": 0}, "n"),
        ({"n": 129}, "n"),
        ({"n": 2, "simulate": {"tokens": 1_000_000}}, "n"),
        ({"n": 2, "simulate": {"content_bytes": 64 << 20}}, "n"),
        ({"simulate": {"unknown": 1}}, "simulate.unknown"),
    ],
)
def test_a_wrong_field_is_refused_by_name(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(Refused) as caught:
        plan_of(**fields)
    assert (caught.value.status, caught.value.param) == (400, param)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"text"', b"\xff", b'{"n": NaN}'])
def test_a_body_that_is_no_json_object_is_refused(body: bytes) -> None:
    with pytest.raises(Refused, match="JSON") as caught:
        read_chat(body, SETTINGS)
    assert caught.value.status == 400


def test_a_model_it_does_not_serve_is_not_found() -> None:
    with pytest.raises(Refused) as caught:
        plan_of(model="huge")
    assert (caught.value.status, caught.value.code) == (404, "model_not_found")
