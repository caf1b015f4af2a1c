from typing import Any

import orjson
import pytest

from runtime.simulator.chat import WORDS, ChatAnswer, ChatStream, runs
from runtime.simulator.plan import read_chat
from runtime.simulator.settings import SimulatorSettings

ID = b"0123456789abcdef0123456789abcdef"
CREATED = b"1790000000"
USAGE: dict[str, Any] = {"stream": True, "stream_options": {"include_usage": True}}


def answer_to(tokens: int = 20, simulate: dict[str, Any] | None = None, **fields: Any) -> ChatAnswer:
    body = {"model": "tiny", "messages": [{"role": "user", "content": "a b c"}]} | fields
    return ChatAnswer(
        read_chat(orjson.dumps(body | {"simulate": {"tokens": tokens} | (simulate or {})}), SimulatorSettings())
    )


def stream_of(answer: ChatAnswer, *, framed: bool = False) -> ChatStream:
    return ChatStream(answer, ID, CREATED, framed=framed)


def events(stream: ChatStream) -> list[Any]:
    raw = stream.block(0, stream.count).decode()
    assert raw.endswith("data: [DONE]\n\n")
    return [orjson.loads(event.removeprefix("data: ")) for event in raw.split("\n\n")[:-2]]


def test_a_stream_is_a_role_its_words_a_finish_and_done() -> None:
    role, *words, finish = events(stream_of(answer_to(tokens=12, stream=True)))
    assert role["choices"] == [{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}]
    assert [chunk["choices"][0]["delta"]["content"] for chunk in words] == [f"w{n} " for n in range(12)]
    assert finish["choices"] == [{"index": 0, "delta": {}, "finish_reason": "stop"}]
    for chunk in (role, *words, finish):
        assert chunk["id"] == f"chatcmpl-{ID.decode()}"
        assert (chunk["object"], chunk["created"], chunk["model"]) == (
            "chat.completion.chunk",
            1790000000,
            "tiny",
        )
        assert "usage" not in chunk


def test_asked_for_usage_is_null_everywhere_and_comes_last() -> None:
    *others, last = events(stream_of(answer_to(tokens=3, **USAGE)))
    assert [chunk["usage"] for chunk in others] == [None] * 5
    assert last["choices"] == []
    assert last["usage"] == {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}


def test_a_cut_answer_finishes_by_length() -> None:
    assert events(stream_of(answer_to(stream=True, max_tokens=2)))[-1]["choices"][0]["finish_reason"] == "length"


def test_choices_take_turns() -> None:
    chunks = events(stream_of(answer_to(tokens=2, stream=True, n=2)))
    shown = [(chunk["choices"][0]["index"], chunk["choices"][0]["delta"].get("content")) for chunk in chunks]
    assert shown == [
        (0, ""),
        (1, ""),
        (0, "w0 "),
        (1, "w0 "),
        (0, "w1 "),
        (1, "w1 "),
        (0, None),
        (1, None),
    ]


@pytest.mark.parametrize("fields", [{}, {"n": 3}, {"max_tokens": 1}])
@pytest.mark.parametrize("tokens", [0, 1, 9, 105])
@pytest.mark.parametrize("framed", [True, False])
def test_blocks_of_any_size_are_the_same_bytes(fields: dict[str, Any], tokens: int, framed: bool) -> None:
    stream = stream_of(answer_to(tokens=tokens, **USAGE, **fields), framed=framed)
    whole = stream.block(0, stream.count)
    for size in (1, 2, 7, 50):
        blocks = [stream.block(at, min(at + size, stream.count)) for at in range(0, stream.count, size)]
        assert b"".join(blocks) == whole


def test_words_repeat_after_the_last_one() -> None:
    stream = stream_of(answer_to(tokens=len(WORDS) + 11, stream=True))
    assert [chunk["choices"][0]["delta"]["content"] for chunk in events(stream)[-3:-1]] == ["w9 ", "w10 "]


def test_a_framed_event_is_one_chunk_of_a_chunked_body() -> None:
    answer = answer_to(tokens=15, **USAGE)
    framed, bare = stream_of(answer, framed=True), stream_of(answer)
    for at in range(bare.count):
        event = bare.block(at, at + 1)
        assert framed.block(at, at + 1) == b"%x\r\n%b\r\n" % (len(event), event)


def test_an_event_is_about_as_long_as_real_ones() -> None:
    stream = stream_of(answer_to(tokens=100, stream=True))
    assert 170 <= len(stream.block(50, 51)) <= 210


def test_tokens_are_counted_by_the_events_that_carry_them() -> None:
    stream = stream_of(answer_to(tokens=2, n=2, **USAGE))
    assert [stream.tokens_before(at) for at in range(stream.count + 1)] == [0, 0, 0, 1, 2, 3, 4, 4, 4, 4, 4]


def test_an_unstreamed_answer_is_http_with_its_length() -> None:
    answer = answer_to(tokens=2, n=2)
    head, _, body = answer.unstreamed(ID, CREATED).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"content-length: %d" % len(body) in head
    assert len(body) == answer.body_length
    parsed = orjson.loads(body)
    assert (parsed["id"], parsed["created"]) == (f"chatcmpl-{ID.decode()}", 1790000000)
    assert [choice["index"] for choice in parsed["choices"]] == [0, 1]
    assert parsed["choices"][1]["message"]["content"] == "w0 w1 "
    assert parsed["usage"] == {"prompt_tokens": 7, "completion_tokens": 4, "total_tokens": 11}


def test_content_has_the_size_that_was_ordered() -> None:
    body = answer_to(simulate={"content_bytes": 1_000}).unstreamed(ID, CREATED).partition(b"\r\n\r\n")[2]
    parsed = orjson.loads(body)
    assert len(parsed["choices"][0]["message"]["content"]) == 1_000
    assert parsed["usage"]["completion_tokens"] == 20


def test_a_big_header_is_as_big_as_ordered() -> None:
    head = answer_to(simulate={"big_header_bytes": 500}).unstreamed(ID, CREATED).partition(b"\r\n\r\n")[0]
    assert b"\r\nx-padding: " + b"p" * 500 in head


@pytest.mark.parametrize(
    ("fields", "simulate", "instant"),
    [
        ({}, {}, True),
        ({"stream": True}, {}, False),
        ({}, {"first_delay_ms": 1}, False),
        ({}, {"chunk_delay_ms": 1}, False),
        ({}, {"split_bytes": 9}, False),
        ({}, {"fault": "cut"}, False),
        ({}, {"content_bytes": 1 << 20}, False),
        ({}, {"tokens": 5_000}, False),
    ],
)
def test_only_a_small_ordinary_answer_is_instant(
    fields: dict[str, Any], simulate: dict[str, Any], instant: bool
) -> None:
    assert answer_to(simulate=simulate, **fields).instant is instant


def test_runs_hold_equally_long_words() -> None:
    assert list(runs(8, 12)) == [(8, 10), (10, 12)]
    assert list(runs(9_999, 10_001)) == [(9_999, 10_000), (0, 1)]
    assert list(runs(3, 3)) == []
