"""Plan and fault -> what goes out, where it stops and how it ends. Pure; `sending` plays it."""

from dataclasses import dataclass, replace
from enum import Enum
from typing import Protocol

from runtime.simulator import faults, responses
from runtime.simulator.chat import ChatAnswer, ChatStream
from runtime.simulator.errors import Refused, error_body
from runtime.simulator.faults import Fault, FaultKind
from runtime.simulator.plan import Plan
from runtime.simulator.totals import State

PIECE_BYTES = 64 << 10  # of a large body handed to the transport at once
GARBAGE = b"\x16\x03\x01 this is not HTTP \xff\xfe\r\n\r\n"
BAD_JSON = b'{"id": "chatcmpl-0", "choices": [oops'
REDIRECT_TO = b"/v1/models"
RETRY_AFTER = b"retry-after: 1\r\n"
_ERROR_KINDS = {401: "authentication_error", 429: "rate_limit_error"}


class Ending(Enum):
    KEEP = "keep"  # the connection takes the next request
    CLOSE = "close"  # after everything was sent
    CUT = "cut"  # reset after everything was sent
    STALL = "stall"  # nothing more comes, the connection stays open


class Source(Protocol):
    """What an answer is made of, by position; at most `per_turn` blocks are written in one turn of the loop."""

    count: int
    words_end: int
    per_turn: int

    def block(self, start: int, stop: int) -> bytes: ...
    def tokens_before(self, position: int) -> int: ...


class Pieces:
    """A source of ready bytes; its `tokens` are out when its last byte is."""

    per_turn = 1

    def __init__(self, data: bytes, tokens: int = 0) -> None:
        self._data = data
        self._tokens = tokens
        self.count = self.words_end = -(-len(data) // PIECE_BYTES)

    def block(self, start: int, stop: int) -> bytes:
        return self._data[start * PIECE_BYTES : stop * PIECE_BYTES]

    def tokens_before(self, position: int) -> int:
        return self._tokens if position >= self.count else 0


@dataclass(frozen=True, slots=True)
class Script:
    """Send `head` at once, then the blocks of `source` up to `stop_at`, then `tail`; then end.

    Block 0 is due `first_delay_ms` after the request, each further one `step_ms` later up to the last word; what
    follows the last word comes with it. 0 is as fast as it can.
    """

    source: Source
    stop_at: int
    ending: Ending
    state: State
    head: bytes = b""
    tail: bytes = b""
    first_delay_ms: float = 0
    step_ms: float = 0


def write_script(answer: ChatAnswer, answer_id: bytes, created: bytes, *, framed: bool, close: bool) -> Script:
    """The script for one request. `framed` False (HTTP/1.0) ends a stream with its connection.

    An answer that is not streamed comes when its last token would have.
    """
    plan = answer.plan
    orders, fault = plan.orders, plan.orders.fault
    ending = Ending.CLOSE if close else Ending.KEEP
    if fault is not None and fault.kind in faults.REPLACING:
        return replace(replaced(fault, ending), first_delay_ms=orders.first_delay_ms)
    if not plan.streamed:
        connection = responses.CLOSING if close else b""
        data = answer.unstreamed(answer_id, created, connection)
        script = unstreamed(data, answer.body_length, plan.completion_tokens, fault, ending)
        return replace(script, first_delay_ms=orders.first_delay_ms + orders.chunk_delay_ms * plan.tokens)
    script = _streamed(answer, answer_id, created, ending, framed=framed)
    return replace(script, first_delay_ms=orders.first_delay_ms, step_ms=orders.chunk_delay_ms)


def _streamed(answer: ChatAnswer, answer_id: bytes, created: bytes, ending: Ending, *, framed: bool) -> Script:
    fault = answer.plan.orders.fault
    stream = ChatStream(answer, answer_id, created, framed=framed)
    head = _stream_head(answer.plan, framed=framed, close=ending is Ending.CLOSE)
    tail = responses.LAST_CHUNK if framed else b""
    if fault is None:
        return Script(stream, stream.count, ending, State.FINISHED, head, tail)
    return _spoiled(stream, fault, ending, head, tail, framed=framed)


def _stream_head(plan: Plan, *, framed: bool, close: bool) -> bytes:
    extra = responses.padding(plan.orders.big_header_bytes)
    connection = responses.CLOSING if close else b""
    if framed:
        headers = responses.headers(responses.EVENT_STREAM, None, extra)
    else:
        headers = responses.headers_until_close(responses.EVENT_STREAM, extra)
    return responses.status_line(200) + connection + headers


def _spoiled(stream: ChatStream, fault: Fault, ending: Ending, head: bytes, tail: bytes, *, framed: bool) -> Script:
    stop_at = faults.stop_at(fault, count=stream.count, finished_at=stream.finished_at)
    match fault.kind:
        case FaultKind.ERROR_EVENT:
            error = error_body("the model failed, as it was told to", "server_error", code="simulated")
            event = b"data: %b\n\n" % error
            tail = (responses.frame(event) if framed else event) + tail
        case FaultKind.STALL | FaultKind.CUT | FaultKind.TRUNCATE:
            ending, tail = broken(fault.kind), b""
        case _:
            assert fault.kind is FaultKind.NO_DONE, fault.kind
    return Script(stream, stop_at, ending, State.FAULTED, head, tail)


def unstreamed(data: bytes, body_length: int, tokens: int, fault: Fault | None, ending: Ending) -> Script:
    """A truncated answer counts all its tokens: they were generated, only their delivery failed."""
    if fault is None:
        source = Pieces(data, tokens)
        return Script(source, source.count, ending, State.FINISHED)
    if fault.kind is FaultKind.TRUNCATE:
        source = Pieces(data[: len(data) - (body_length + 1) // 2], tokens)
    else:
        source = Pieces(b"")
    return Script(source, source.count, broken(fault.kind), State.FAULTED)


def broken(kind: FaultKind) -> Ending:
    return {FaultKind.STALL: Ending.STALL, FaultKind.CUT: Ending.CUT}.get(kind, Ending.CLOSE)


def replaced(fault: Fault, ending: Ending) -> Script:
    """What comes instead of the answer, in a generic server's shape."""
    close = ending is Ending.CLOSE
    match fault.kind:
        case FaultKind.STATUS:
            data = _status_answer(fault.status or 500, close=close)
        case FaultKind.REDIRECT:
            data = responses.whole(302, b"{}", close=close, extra=b"location: %b\r\n" % REDIRECT_TO)
        case FaultKind.BAD_JSON:
            data = responses.whole(200, BAD_JSON, close=close)
        case FaultKind.GARBAGE:
            data, ending = GARBAGE, Ending.CLOSE
        case _:
            assert fault.kind is FaultKind.CLOSE, fault.kind
            data, ending = b"", Ending.CLOSE
    source = Pieces(data)
    return Script(source, source.count, ending, State.FAULTED)


def refusal(status: int) -> Refused:
    """The error that was ordered."""
    kind = _ERROR_KINDS.get(status, "server_error" if status >= 500 else "invalid_request_error")
    return Refused(status, f"refused with {status}, as ordered", code="simulated", kind=kind)


def _status_answer(status: int, *, close: bool) -> bytes:
    extra = RETRY_AFTER if status == 429 else b""
    return responses.whole(status, refusal(status).body(), close=close, extra=extra)
