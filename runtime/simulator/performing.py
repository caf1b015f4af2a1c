"""A dialect's reply -> the script that plays it, with the fault that was ordered. Pure, as `script` is for a chat."""

from dataclasses import replace

import orjson

from runtime.simulator import responses
from runtime.simulator.dialects.refusals import error_value
from runtime.simulator.dialects.reply import Reply
from runtime.simulator.dialects.stream import Stream
from runtime.simulator.faults import REPLACING, Fault, FaultKind
from runtime.simulator.script import RETRY_AFTER, Ending, Pieces, Script, broken, refusal, replaced, unstreamed
from runtime.simulator.totals import State

# The status inside the body of an answer that says 200 and is an error.
HIDDEN_STATUS = 502


def perform(reply: Reply, *, framed: bool, close: bool) -> Script:
    """`framed` False (HTTP/1.0) ends a stream with its connection."""
    job, orders = reply.job, reply.job.orders
    ending = Ending.CLOSE if close else Ending.KEEP
    if orders.fault is not None and orders.fault.kind in REPLACING:
        return replace(_replaced(reply, orders.fault, ending), first_delay_ms=orders.first_delay_ms)
    if not job.streamed:
        script = _whole(reply, orders.fault, ending)
        return replace(script, first_delay_ms=orders.first_delay_ms + orders.chunk_delay_ms * job.tokens)
    script = _streamed(reply, orders.fault, ending, framed=framed)
    return replace(script, first_delay_ms=orders.first_delay_ms, step_ms=orders.chunk_delay_ms)


def _whole(reply: Reply, fault: Fault | None, ending: Ending) -> Script:
    body = reply.answer.body()
    extra = reply.answer.headers() + responses.padding(reply.job.orders.big_header_bytes)
    connection = responses.CLOSING if ending is Ending.CLOSE else b""
    head = responses.status_line(200) + connection + responses.headers(reply.content_type, len(body), extra)
    return unstreamed(head + body, len(body), reply.job.completion_tokens, fault, ending)


def _streamed(reply: Reply, fault: Fault | None, ending: Ending, *, framed: bool) -> Script:
    stream = Stream(reply.answer.layout(), reply.job.orders.details, framed=framed, is_text=reply.answer.is_text)
    head = _stream_head(reply, framed=framed, close=ending is Ending.CLOSE)
    tail = responses.LAST_CHUNK if framed else b""
    if fault is None:
        return Script(stream, stream.count, ending, State.FINISHED, head, tail)
    return _spoiled(stream, fault, ending, head, tail)


def _stream_head(reply: Reply, *, framed: bool, close: bool) -> bytes:
    extra = reply.answer.headers() + responses.padding(reply.job.orders.big_header_bytes)
    if framed:
        headers = responses.headers(reply.content_type, None, extra)
    else:
        headers = responses.headers_until_close(reply.content_type, extra)
    return responses.status_line(200) + (responses.CLOSING if close else b"") + headers


def _spoiled(stream: Stream, fault: Fault, ending: Ending, head: bytes, tail: bytes) -> Script:
    stop_at, part = stream.stop_at(fault), b""
    if fault.after_bytes is not None:
        stop_at, part = stream.split_at(fault.after_bytes)
    match fault.kind:
        case FaultKind.ERROR_EVENT | FaultKind.FAILED:
            tail = stream.failure(fault, stop_at) + tail
        case FaultKind.STALL | FaultKind.CUT | FaultKind.TRUNCATE:
            ending, tail = broken(fault.kind), b""
        case FaultKind.NO_BLANK_LINE:
            stream.cut_short = stop_at - 1
        case _:
            assert fault.kind is FaultKind.NO_DONE, fault.kind
    return Script(stream, stop_at, ending, State.FAULTED, head, stream.framing(part) + tail)


def _replaced(reply: Reply, fault: Fault, ending: Ending) -> Script:
    """Errors in the kind's own shape; what is no answer at all is the same for all."""
    if fault.kind not in (FaultKind.STATUS, FaultKind.ERROR_BODY):
        return replaced(fault, ending)
    status = fault.status or HIDDEN_STATUS
    body = orjson.dumps(error_value(refusal(status), reply.job.kind, reply.job.format))
    extra = RETRY_AFTER if status == 429 else b""
    data = responses.whole(fault.status or 200, body, close=ending is Ending.CLOSE, extra=extra)
    source = Pieces(data)
    return Script(source, source.count, ending, State.FAULTED)
