"""An answer that is one piece passes as it is, and is read at its end."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering.answer_tap import MAX_ANSWER_BYTES, AnswerTap, usage_in_tail
from metering.reading import Reading
from tests.support.streams import cut, cuts

ANSWER = {"id": "a", "choices": [{"message": {"content": 'say "usage": {'}}], "usage": {"prompt_tokens": 3}}


@given(st.data())
def test_an_answer_passes_as_it_is_and_is_read(data: st.DataObject) -> None:
    body = json.dumps(ANSWER, indent=data.draw(st.sampled_from([None, 2]))).encode() + b"\n"
    tap = AnswerTap()
    pieces = cut(body, data.draw(cuts(len(body))))
    assert [tap.feed(piece) for piece in pieces] == pieces
    assert tap.finish() == b""
    assert (tap.reading, tap.texts().whole()) == (Reading(prompt=3), ['say "usage": {'])


@pytest.mark.parametrize("body", [b"", b"[]", b"<html>", b'{"usage":[1]}', b'{"usage":{"prompt_tokens":1', b"\xff"])
def test_an_answer_without_usage_says_nothing(body: bytes) -> None:
    tap = AnswerTap()
    tap.feed(body)
    tap.finish()
    assert tap.reading == Reading()


def test_an_answer_that_is_an_error_is_noticed() -> None:
    tap = AnswerTap()
    tap.feed(b'{"error":{"message":"no"}}')
    tap.finish()
    assert tap.has_error


def test_of_a_huge_answer_the_end_is_kept_and_read() -> None:
    tap = AnswerTap()
    tap.feed(b'{"choices":["')
    for _ in range(12):
        tap.feed(b"x" * (1 << 20))
        assert sum(map(len, tap._parts)) <= MAX_ANSWER_BYTES + (1 << 20)
    tap.feed(b'"],"usage":{"prompt_tokens":3,"completion_tokens":4}}')
    tap.finish()
    assert (tap.reading.prompt, tap.reading.completion) == (3, 4)


@pytest.mark.parametrize(
    ("tail", "reading"),
    [
        (b'..."usage" : {"prompt_tokens":1}, "z":{}}', Reading(prompt=1)),
        (b'"usage":{"prompt_tokens":1},"x":{"usage":{"prompt_tokens":2}}}', Reading(prompt=2)),
        (b'"usage":{"prompt_tokens":1},"x":{"an \\"usage": {"prompt_tokens":2}}}', Reading(prompt=1)),
        (b'"usage":{"prompt_tokens":', Reading()),
        (b'"usage":', Reading()),
        (b'"usage":null}', Reading()),
        (b'"usage":{"prompt_tokens":' + b"1" * 5000 + b"}}", Reading()),
        (b'"usage":' + b"[" * 60_000, Reading()),
        (b"\xff\xfe", Reading()),
    ],
)
def test_usage_in_the_end_of_an_answer(tail: bytes, reading: Reading) -> None:
    assert usage_in_tail(tail) == reading
