from typing import Any

import orjson
import pytest

from runtime.simulator.kinds import Kind
from runtime.simulator.script import Ending, Script
from runtime.simulator.totals import State
from tests.support.dialects import CHAT, body_of, chat, played, script_of

KINDS = list(Kind)


def spoiled(kind: str, simulate: dict[str, Any], **fields: Any) -> Script:
    return script_of(kind, CHAT, chat({"tokens": 5} | simulate, **fields))


def ended(data: bytes) -> bytes:
    return data[-14:]


@pytest.mark.parametrize("kind", KINDS)
def test_a_stream_ends_well_unless_told_otherwise(kind: str) -> None:
    script = spoiled(kind, {})
    assert (script.ending, script.state) == (Ending.KEEP, State.FINISHED)
    assert ended(played(script)) == b"data: [DONE]\n\n"
    assert script.source.tokens_before(script.stop_at) == 5


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("fault", "ending"), [("cut", Ending.CUT), ("stall", Ending.STALL), ("truncate", Ending.CLOSE)]
)
def test_it_breaks_off_after_as_many_tokens_as_ordered(kind: str, fault: str, ending: Ending) -> None:
    script = script_of(kind, CHAT, chat({"tokens": 5, "fault": fault, "after_tokens": 3}), framed=True)
    assert (script.ending, script.state, script.tail) == (ending, State.FAULTED, b"")
    assert script.source.tokens_before(script.stop_at) == 3
    assert played(script).count(b'"w2 "') == 1
    assert b'"w3 "' not in played(script)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("stage", ["opening", "words", "finish", "usage", "done"])
def test_it_ends_cleanly_after_any_stage(kind: str, stage: str) -> None:
    script = spoiled(kind, {"fault": "no_done", "after": stage})
    data = played(script)
    assert script.ending is Ending.KEEP
    assert (b"[DONE]" in data) == (stage == "done")
    assert (b'"finish_reason":"stop"' in data) == (stage in ("finish", "usage", "done"))
    assert script.source.tokens_before(script.stop_at) == (0 if stage == "opening" else 5)


@pytest.mark.parametrize("kind", KINDS)
def test_the_last_blank_line_can_be_missing(kind: str) -> None:
    data = played(spoiled(kind, {"fault": "no_blank_line"}))
    assert data.endswith(b"data: [DONE]\n")
    data = played(spoiled(kind, {"fault": "no_blank_line", "after": "usage"}))
    assert data.endswith(b"}\n") and not data.endswith(b"\n\n")


def test_it_breaks_off_in_the_middle_of_an_event() -> None:
    whole = body_of("vllm", CHAT, chat())
    for size in (0, 1, 150, len(whole) - 1, len(whole)):
        data = played(script_of("vllm", CHAT, chat({"fault": "cut", "after_bytes": size})))
        assert data.partition(b"\r\n\r\n")[2] == whole[:size]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("stream", [True, False])
def test_an_error_can_hide_behind_a_200(kind: str, stream: bool) -> None:
    script = spoiled(kind, {"fault": "error_body"}, stream=stream)
    head, _, body = played(script).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"refused with 502" in body
    assert orjson.loads(body)


def test_a_status_comes_in_the_shape_of_the_kind() -> None:
    script = spoiled("tgi", {"fault": "status", "status": 429})
    assert b"\r\nretry-after: 1\r\n" in played(script)
    assert played(script).endswith(b'{"error":"refused with 429, as ordered","error_type":"validation"}')
    assert played(spoiled("tgi", {"fault": "garbage"})).startswith(b"\x16\x03\x01")


def test_an_answer_that_is_not_streamed_comes_when_its_last_token_would() -> None:
    orders = {"tokens": 3, "first_delay_ms": 50, "chunk_delay_ms": 10}
    whole, streamed = spoiled("vllm", orders, stream=False), spoiled("vllm", orders)
    assert (whole.first_delay_ms, whole.step_ms) == (80, 0)
    assert (streamed.first_delay_ms, streamed.step_ms) == (50, 10)


def test_a_truncated_answer_promises_more_than_it_gives() -> None:
    script = spoiled("mistral", {"fault": "truncate"}, stream=False)
    head, _, body = played(script).partition(b"\r\n\r\n")
    assert 0 < len(body) < int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])


def test_chunks_are_framed_one_by_one_and_empty_events_not_at_all() -> None:
    script = script_of("vllm", CHAT, chat({"tokens": 2}), framed=True, close=True)
    assert script.ending is Ending.CLOSE
    assert b"\r\nconnection: close\r\n" in script.head
    assert played(script).endswith(b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n")
    assert played(script).count(b"\r\n0\r\n\r\n") == 1
