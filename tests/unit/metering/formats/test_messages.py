from typing import Any

import pytest

from metering.formats.format import Ask, InvalidAsk
from metering.formats.messages import ask, read, texts

MESSAGES = [{"role": "user", "content": "hi"}]


def test_what_is_asked_for() -> None:
    asked = ask({"model": "m", "messages": MESSAGES, "max_tokens": 9, "stream": True})
    assert asked == Ask("m", is_stream=True, output_limit=9)


@pytest.mark.parametrize("fields", [{"max_tokens": 9}, {"max_tokens": 9, "messages": []}, {"messages": MESSAGES}])
def test_what_is_required(fields: dict[str, Any]) -> None:
    with pytest.raises(InvalidAsk):
        ask({"model": "m", **fields})


@pytest.mark.parametrize(
    ("said", "is_finish", "is_end", "is_error"),
    [
        ({"type": "message_start", "message": {"usage": {"input_tokens": 1}}}, False, False, False),
        ({"type": "message_delta", "delta": {"stop_reason": None}}, False, False, False),
        ({"type": "message_delta", "delta": {"stop_reason": "end_turn"}}, True, False, False),
        ({"type": "message_stop"}, False, True, False),
        ({"type": "error", "error": {"type": "overloaded_error"}}, False, True, True),
        ({"type": "message", "stop_reason": "end_turn"}, False, False, False),
    ],
)
def test_where_it_stands(said: dict[str, Any], is_finish: bool, is_end: bool, is_error: bool) -> None:
    found = read(said)
    assert (found.is_finish, found.is_end, found.is_error) == (is_finish, is_end, is_error)


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "a"}}, ["a"]),
        ({"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "b"}}, ["b"]),
        ({"type": "content_block_delta", "index": 1, "delta": {"partial_json": '{"a'}}, ['{"a']),
        ({"type": "content_block_delta", "index": 0, "delta": {"type": "signature_delta", "signature": "x"}}, []),
        ({"type": "content_block_start", "content_block": {"type": "text", "text": ""}}, []),
        (
            {"type": "message", "content": [{"text": "a"}, {"thinking": "b"}, {"input": {"x": 1}}]},
            ["a", "b", '{"x":1}'],
        ),
        ({"type": "message", "content": None}, []),
    ],
)
def test_what_was_said(said: dict[str, Any], found: list[str]) -> None:
    assert [text for _, text in texts(said)] == found
