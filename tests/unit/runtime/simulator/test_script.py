from typing import Any

import orjson
import pytest

from runtime.simulator.chat import ChatAnswer
from runtime.simulator.plan import read_chat
from runtime.simulator.script import PIECE_BYTES, Ending, Pieces, Script, write_script
from runtime.simulator.settings import SimulatorSettings
from runtime.simulator.totals import State

ID, CREATED = b"0" * 32, b"1790000000"


def script_of(simulate: dict[str, Any], *, close: bool = False, framed: bool = True, **fields: Any) -> Script:
    body = {"model": "tiny", "messages": [{"role": "user", "content": "a"}], "simulate": simulate} | fields
    answer = ChatAnswer(read_chat(orjson.dumps(body), SimulatorSettings(tokens=3)))
    return write_script(answer, ID, CREATED, framed=framed, close=close)


def played(script: Script) -> bytes:
    return script.head + script.source.block(0, script.stop_at) + script.tail


def test_an_ordinary_stream_ends_with_done_and_its_framing() -> None:
    script = script_of({}, stream=True)
    assert played(script).startswith(b"HTTP/1.1 200 OK\r\n")
    assert played(script).endswith(b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n")
    assert (script.ending, script.state) == (Ending.KEEP, State.FINISHED)


def test_for_http_1_0_a_stream_has_no_framing() -> None:
    data = played(script_of({}, stream=True, framed=False, close=True))
    assert b"transfer-encoding" not in data
    assert b"\r\nconnection: close\r\n" in data
    assert data.endswith(b"\n\ndata: [DONE]\n\n")


@pytest.mark.parametrize(
    ("fault", "ending", "last"),
    [
        ({"fault": "stall", "after_chunks": 2}, Ending.STALL, b'"content":"w0 "},"finish_reason":null}]}\n\n\r\n'),
        ({"fault": "cut", "after_chunks": 2}, Ending.CUT, b'"content":"w0 "},"finish_reason":null}]}\n\n\r\n'),
        ({"fault": "cut"}, Ending.CUT, b"transfer-encoding: chunked\r\n\r\n"),
        ({"fault": "truncate", "after_chunks": 99}, Ending.CLOSE, b"data: [DONE]\n\n\r\n"),
        ({"fault": "no_done"}, Ending.KEEP, b'"finish_reason":"stop"}]}\n\n\r\n0\r\n\r\n'),
        ({"fault": "error_event", "after_chunks": 2}, Ending.KEEP, b'"code":"simulated"}}\n\n\r\n0\r\n\r\n'),
    ],
)
def test_a_fault_inside_a_stream(fault: dict[str, Any], ending: Ending, last: bytes) -> None:
    script = script_of(fault, stream=True)
    assert (script.ending, script.state) == (ending, State.FAULTED)
    assert played(script).endswith(last)


@pytest.mark.parametrize(
    ("fault", "ending", "data"),
    [
        ({"fault": "stall"}, Ending.STALL, b""),
        ({"fault": "cut"}, Ending.CUT, b""),
        ({"fault": "close"}, Ending.CLOSE, b""),
        ({"fault": "garbage"}, Ending.CLOSE, b"\x16\x03\x01 this is not HTTP"),
        ({"fault": "status", "status": 418}, Ending.KEEP, b"HTTP/1.1 418 "),
        ({"fault": "redirect"}, Ending.KEEP, b"HTTP/1.1 302 Found\r\n"),
        ({"fault": "bad_json"}, Ending.KEEP, b"HTTP/1.1 200 OK\r\n"),
    ],
)
def test_a_fault_instead_of_an_answer(fault: dict[str, Any], ending: Ending, data: bytes) -> None:
    script = script_of(fault)
    assert (script.ending, script.state) == (ending, State.FAULTED)
    assert played(script).startswith(data)
    assert bool(played(script)) == bool(data)


def test_a_truncated_answer_promises_more_than_it_gives() -> None:
    script = script_of({"fault": "truncate"})
    head, _, body = played(script).partition(b"\r\n\r\n")
    promised = int(head.rpartition(b"content-length: ")[2])
    assert 0 < len(body) < promised
    assert (script.ending, script.source.tokens_before(script.stop_at)) == (Ending.CLOSE, 3)


@pytest.mark.parametrize("simulate", [{}, {"fault": "status", "status": 500}, {"fault": "redirect"}])
def test_an_answer_that_is_the_last_says_so(simulate: dict[str, Any]) -> None:
    script = script_of(simulate, close=True)
    assert script.ending is Ending.CLOSE
    assert b"\r\nconnection: close\r\n" in played(script)


def test_too_many_requests_says_when_to_come_back() -> None:
    assert b"\r\nretry-after: 1\r\n" in played(script_of({"fault": "status", "status": 429}))
    assert b"retry-after" not in played(script_of({"fault": "status", "status": 503}))


def test_a_stream_is_paced_and_an_unstreamed_answer_comes_when_its_last_token_would() -> None:
    orders = {"first_delay_ms": 50, "chunk_delay_ms": 10}
    streamed, whole = script_of(orders, stream=True), script_of(orders)
    assert (streamed.first_delay_ms, streamed.step_ms) == (50, 10)
    assert (whole.first_delay_ms, whole.step_ms) == (80, 0)


def test_large_data_goes_out_in_pieces_and_counts_at_its_end() -> None:
    data = bytes(range(256)) * (PIECE_BYTES // 128) + b"end"
    pieces = Pieces(data, tokens=9)
    assert pieces.count == 3
    assert b"".join(pieces.block(at, at + 1) for at in range(3)) == data
    assert [pieces.tokens_before(at) for at in range(4)] == [0, 0, 0, 9]
