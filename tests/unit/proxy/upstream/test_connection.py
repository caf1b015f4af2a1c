"""One connection, fed by hand: no loop, no socket, the clock is a number."""

import asyncio
from collections.abc import Callable, Iterable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.upstream.connection import UPLOAD_SLICE_BYTES, ResponseHandle, UpstreamConnection
from proxy.upstream.errors import (
    Phase,
    UpstreamClosed,
    UpstreamError,
    UpstreamProtocolError,
    UpstreamTimeout,
)
from proxy.upstream.turns import PoolLimits

HEAD = b"HTTP/1.1 200 OK\r\n"
LENGTH_5 = HEAD + b"Content-Length: 5\r\n\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
LIMITS = PoolLimits(first_byte_s=600.0, idle_s=120.0, max_header_bytes=1_000)


class FakeTransport(asyncio.Transport):
    """Writes down what it is asked; takes `room` bytes and then pauses its protocol, as a full pipe does."""

    def __init__(self, protocol: UpstreamConnection, room: int = 1 << 30) -> None:
        super().__init__()
        self.protocol = protocol
        self.room = room
        self.written = b""
        self.closed = False
        self.log: list[str] = []
        self.buffered = 0

    def write(self, data: bytes | bytearray | memoryview) -> None:
        assert not self.closed
        self.written += data
        self.room -= len(data)
        if self.room <= 0:
            self.protocol.pause_writing()

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview]) -> None:
        self.write(b"".join(list_of_data))

    def drain(self, room: int) -> None:
        self.room = room
        self.protocol.resume_writing()

    def get_write_buffer_size(self) -> int:
        return self.buffered

    def is_closing(self) -> bool:
        return self.closed

    def abort(self) -> None:
        self.closed = True

    def pause_reading(self) -> None:
        self.log.append("pause")

    def resume_reading(self) -> None:
        self.log.append("resume")


class Rig:
    """A connection with everything around it replaced; it is its owner and its sink at once."""

    def __init__(self, room: int = 1 << 30) -> None:
        self.now_s = 100.0
        self.events: list[object] = []
        self.during: Callable[[str], None] = lambda _: None
        self.connection = UpstreamConnection(self, LIMITS, lambda: self.now_s)
        self.transport = FakeTransport(self.connection, room)
        self.connection.connection_made(self.transport)

    def begin(self, body: bytes = b"{}") -> ResponseHandle:
        return self.connection.begin(b"POST / HTTP/1.1\r\n\r\n", body, self)

    def feed(self, *pieces: bytes) -> "Rig":
        for piece in pieces:
            self.connection.data_received(piece)
        return self

    def after(self, seconds: float) -> "Rig":
        self.now_s += seconds
        self.connection.enforce_deadline(self.now_s)
        return self

    @property
    def body(self) -> bytes:
        return b"".join(event[1] for event in self.events if isinstance(event, tuple) and event[0] in ("body", "end"))

    @property
    def happened(self) -> list[object]:
        """Without the bytes."""
        return [event[0] if isinstance(event, tuple) else event for event in self.events]

    @property
    def last_two(self) -> list[object]:
        return self.happened[-2:]

    @property
    def failure(self) -> UpstreamError:
        failures = [event for event in self.events if isinstance(event, UpstreamError)]
        assert len(failures) == 1 and self.events[-1] is failures[0] and "end" not in self.happened
        return failures[0]

    # As a sink.

    def on_headers(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        self.events.append(("headers", status))
        self.during("headers")

    def on_body(self, data: bytes) -> None:
        self.events.append(("body", data))
        self.during("body")

    def on_end(self, last: bytes = b"") -> None:
        self.events.append(("end", last) if last else "end")

    def on_failure(self, error: UpstreamError) -> None:
        self.events.append(error)

    # As the owner.

    def exchange_over(self, connection: UpstreamConnection, reusable: bool) -> None:
        assert connection is self.connection
        self.events.append("reusable" if reusable else "over")

    def unused_broken(self, connection: UpstreamConnection) -> None:
        self.events.append("broken")

    def connection_lost(self, connection: UpstreamConnection) -> None:
        self.events.append("lost")


@pytest.fixture
def rig() -> Rig:
    return Rig()


def test_a_request_is_written_and_its_response_told_in_order(rig: Rig) -> None:
    rig.begin(b'{"a":1}')
    assert rig.transport.written == b'POST / HTTP/1.1\r\n\r\n{"a":1}'
    rig.feed(LENGTH_5 + b"hello")
    assert rig.events == [("headers", 200), "reusable", ("end", b"hello")]
    assert rig.connection.is_usable


def test_a_connection_of_an_age_is_not_used_again(rig: Rig) -> None:
    rig.now_s += LIMITS.max_age_s / 2
    rig.begin()
    rig.feed(LENGTH_5 + b"hello")
    assert rig.connection.is_usable
    rig.begin()
    rig.now_s += LIMITS.max_age_s / 2
    rig.feed(LENGTH_5 + b"hello")
    assert rig.last_two == ["over", "end"] and rig.transport.closed


def test_one_read_is_one_call_with_its_chunks_joined(rig: Rig) -> None:
    rig.begin()
    rig.feed(CHUNKED + b"1\r\na\r\n2\r\nbc\r\n", b"1\r\nd\r\n", b"1\r\ne\r\n0\r\n\r\n")
    assert rig.events == [("headers", 200), ("body", b"abc"), ("body", b"d"), "reusable", ("end", b"e")]


RESPONSES = {
    "length": (LENGTH_5 + b"hello", b"hello"),
    "chunked": (CHUNKED + b"2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\nX-Trailer: 1\r\n\r\n", b"hello"),
    "1xx first": (b"HTTP/1.1 100 Continue\r\n\r\n" + LENGTH_5 + b"hello", b"hello"),
    "empty": (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
}


@pytest.mark.parametrize("name", RESPONSES)
def test_a_response_split_anywhere_is_the_same_response(name: str) -> None:
    response, body = RESPONSES[name]
    for at in range(1, len(response)):
        rig = Rig()
        rig.begin()
        rig.feed(response[:at], response[at:])
        assert rig.body == body
        assert rig.last_two == ["reusable", "end"]


@pytest.mark.parametrize("name", RESPONSES)
def test_a_response_may_come_byte_by_byte(rig: Rig, name: str) -> None:
    response, body = RESPONSES[name]
    rig.begin()
    rig.feed(*[response[i : i + 1] for i in range(len(response))])
    assert rig.body == body
    assert rig.last_two == ["reusable", "end"]


@given(
    chunks=st.lists(st.binary(min_size=1, max_size=200), max_size=8),
    cuts=st.lists(st.integers(min_value=0, max_value=2_000), max_size=12),
    framing=st.sampled_from(["chunked", "length", "eof"]),
)
def test_the_body_seen_is_the_body_sent(chunks: list[bytes], cuts: list[int], framing: str) -> None:
    body = b"".join(chunks)
    response = {
        "chunked": CHUNKED + b"".join(b"%x\r\n%b\r\n" % (len(c), c) for c in chunks) + b"0\r\n\r\n",
        "length": HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body,
        "eof": HEAD + b"\r\n" + body,
    }[framing]
    edges = sorted({0, len(response), *(cut for cut in cuts if cut < len(response))})
    rig = Rig()
    rig.begin()
    rig.feed(*[response[a:b] for a, b in pairwise(edges)])
    if framing == "eof":
        rig.connection.eof_received()
    assert rig.body == body
    assert rig.events[0] == ("headers", 200)
    assert rig.last_two == ["over" if framing == "eof" else "reusable", "end"]


def test_a_body_without_framing_ends_with_the_connection_and_the_connection_with_it(rig: Rig) -> None:
    rig.begin()
    rig.feed(HEAD + b"\r\nhel", b"lo")
    rig.connection.connection_lost(None)
    assert rig.body == b"hello"
    assert rig.events[-3:] == ["over", "end", "lost"]


def test_a_body_without_framing_that_ends_in_a_reset_is_truncated(rig: Rig) -> None:
    rig.begin()
    rig.feed(HEAD + b"\r\nhello")
    rig.connection.connection_lost(ConnectionResetError())
    assert rig.events[-1] == "lost"
    assert isinstance(rig.events[-2], UpstreamClosed)


@pytest.mark.parametrize("received", [b"", b"HTTP/1.1 2", HEAD + b"X: y\r\n"])
@pytest.mark.parametrize("error", [None, ConnectionResetError()], ids=repr)
def test_a_connection_lost_before_the_headers(rig: Rig, received: bytes, error: Exception | None) -> None:
    rig.begin()
    if received:
        rig.feed(received)
    rig.connection.connection_lost(error)
    assert rig.events.pop() == "lost"
    assert isinstance(rig.failure, UpstreamClosed)
    assert rig.failure.request_sent and not rig.failure.headers_received


@pytest.mark.parametrize("received", [LENGTH_5 + b"hell", LENGTH_5, CHUNKED + b"5\r\nhello\r\n", CHUNKED + b"5\r\nhe"])
def test_a_framed_body_cut_short_is_a_failure_not_an_end(rig: Rig, received: bytes) -> None:
    rig.begin()
    rig.feed(received)
    rig.connection.eof_received()
    assert isinstance(rig.failure, UpstreamClosed)
    assert rig.failure.headers_received
    assert rig.transport.closed


def test_a_message_that_ended_is_not_failed_by_the_close_that_follows(rig: Rig) -> None:
    rig.begin()
    rig.feed(HEAD + b"Connection: close\r\nContent-Length: 5\r\n\r\nhello")
    rig.connection.eof_received()
    rig.connection.connection_lost(None)
    assert rig.events[:3] == [("headers", 200), "over", ("end", b"hello")]
    assert rig.transport.closed
    assert not any(isinstance(event, UpstreamError) for event in rig.events)


def test_what_came_before_a_fault_is_delivered_before_it(rig: Rig) -> None:
    rig.begin()
    rig.feed(CHUNKED + b"5\r\nhello\r\nzz\r\n")
    assert rig.events[:2] == [("headers", 200), ("body", b"hello")]
    assert isinstance(rig.failure, UpstreamProtocolError)
    assert rig.transport.closed


@pytest.mark.parametrize(
    "response",
    [b"SSH-2.0-x\r\n", b"HTTP/1.1 101 Switching Protocols\r\n\r\n", HEAD + b"X-Bomb: " + b"x" * 2_000],
)
def test_what_is_not_our_http_fails_without_headers(rig: Rig, response: bytes) -> None:
    rig.begin()
    rig.feed(response)
    assert isinstance(rig.failure, UpstreamProtocolError)
    assert rig.events == ["over", rig.failure]
    assert rig.transport.closed
    assert "xxx" not in str(rig.failure), "a message never repeats what the server sent"


def test_bytes_beyond_the_end_close_the_connection_but_keep_the_response(rig: Rig) -> None:
    rig.begin()
    rig.feed(LENGTH_5 + b"helloHTTP/1.1 200 OK\r\n")
    assert rig.events == [("headers", 200), "over", ("end", b"hello")]
    assert rig.transport.closed


def test_bytes_nobody_asked_for_close_an_unused_connection(rig: Rig) -> None:
    rig.feed(b"HTTP/1.1 408 Request Timeout\r\n\r\n")
    assert rig.events == ["broken"]
    assert rig.transport.closed
    assert not rig.connection.is_usable


def test_an_unused_connection_that_the_server_closes_is_reported(rig: Rig) -> None:
    rig.connection.eof_received()
    assert rig.events == ["broken"]


def test_a_second_exchange_on_the_same_connection_starts_clean(rig: Rig) -> None:
    rig.begin()
    rig.feed(CHUNKED + b"5\r\nhello\r\n0\r\n\r\n")
    rig.events.clear()
    rig.begin()
    rig.feed(LENGTH_5 + b"again")
    assert rig.events == [("headers", 200), "reusable", ("end", b"again")]


def test_abort_closes_at_once_and_silences_everything(rig: Rig) -> None:
    exchange = rig.begin()
    rig.feed(LENGTH_5 + b"he")
    rig.events.clear()
    exchange.abort()
    assert rig.transport.closed
    rig.connection.connection_lost(None)
    exchange.abort()
    exchange.pause_reading()
    exchange.resume_reading()
    assert rig.events == ["over", "broken", "lost"]


@pytest.mark.parametrize("moment", ["headers", "body"])
def test_a_sink_may_abort_inside_its_own_callback(rig: Rig, moment: str) -> None:
    exchange = rig.begin()
    rig.during = lambda now: exchange.abort() if now == moment else None
    rig.feed(LENGTH_5 + b"hell")
    expected = [("headers", 200), ("body", b"hell")][: ["headers", "body"].index(moment) + 1]
    assert rig.events == [*expected, "over"]


def test_a_paused_exchange_stops_the_transport_and_the_next_one_starts_reading(rig: Rig) -> None:
    exchange = rig.begin()
    rig.feed(LENGTH_5)
    exchange.pause_reading()
    exchange.pause_reading()
    assert rig.transport.log == ["pause"]
    exchange.resume_reading()
    exchange.resume_reading()
    assert rig.transport.log == ["pause", "resume"]
    rig.during = lambda _: exchange.pause_reading()
    rig.feed(b"hell")
    assert rig.transport.log[2:] == ["pause"]
    rig.feed(b"o")
    assert rig.transport.log[2:] == ["pause", "resume"], "the message is over, the connection goes back to work"


CHUNK_64K = b"10000\r\n" + b"x" * 65_536 + b"\r\n"


async def test_a_server_that_sends_faster_than_we_read_lets_others_go_first(rig: Rig) -> None:
    """A loop that reads one socket until it is empty lets timers and Redis wait for seconds."""
    rig.begin()
    rig.feed(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
    rig.feed(b"5\r\nhello\r\n")
    assert rig.transport.log == []
    rig.feed(CHUNK_64K)
    assert rig.transport.log == ["pause"]
    await asyncio.sleep(0)
    assert rig.transport.log == ["pause", "resume"]


async def test_what_its_sink_has_paused_stays_so(rig: Rig) -> None:
    exchange = rig.begin()
    rig.feed(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
    rig.feed(CHUNK_64K)
    exchange.pause_reading()
    await asyncio.sleep(0)
    assert "resume" not in rig.transport.log
    rig.feed(CHUNK_64K)
    await asyncio.sleep(0)
    assert "resume" not in rig.transport.log


async def test_a_connection_that_ended_meanwhile_is_not_read_on(rig: Rig) -> None:
    exchange = rig.begin()
    rig.feed(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
    rig.feed(CHUNK_64K)
    exchange.abort()
    await asyncio.sleep(0)
    assert "resume" not in rig.transport.log


def test_a_finished_exchange_cannot_touch_the_next_one(rig: Rig) -> None:
    first = rig.begin()
    rig.feed(LENGTH_5 + b"hello")
    rig.begin()
    first.pause_reading()
    first.abort()
    assert rig.transport.log == [] and not rig.transport.closed


# Deadlines.


def test_the_first_byte_is_waited_for_until_its_limit_even_if_1xx_drip(rig: Rig) -> None:
    rig.begin()
    rig.after(300.0).feed(b"HTTP/1.1 102 Processing\r\n\r\n")
    rig.after(299.0)
    assert rig.events == []
    rig.after(1.0)
    assert isinstance(rig.failure, UpstreamTimeout)
    assert rig.failure.phase is Phase.FIRST_BYTE
    assert rig.transport.closed


def test_a_body_may_take_for_ever_but_not_stand_still(rig: Rig) -> None:
    rig.begin()
    rig.feed(CHUNKED)
    for _ in range(10):
        rig.after(119.0).feed(b"1\r\nx\r\n")
    rig.after(119.9)
    assert rig.body == b"x" * 10
    rig.after(0.1)
    assert isinstance(rig.failure, UpstreamTimeout)
    assert rig.failure.phase is Phase.IDLE


def test_the_time_we_pause_reading_does_not_count(rig: Rig) -> None:
    exchange = rig.begin()
    rig.feed(LENGTH_5)
    exchange.pause_reading()
    rig.after(10_000.0)
    exchange.resume_reading()
    rig.after(119.0).feed(b"hello")
    assert rig.happened[-1] == "end"


def test_an_unused_connection_has_no_deadline(rig: Rig) -> None:
    rig.after(10_000.0)
    assert rig.events == []


# Uploads.


def test_a_large_body_goes_out_only_as_fast_as_it_is_taken() -> None:
    rig = Rig(room=UPLOAD_SLICE_BYTES)
    body = bytes(range(256)) * (4 * UPLOAD_SLICE_BYTES // 256)
    rig.begin(body)
    rounds = 0
    while len(rig.transport.written) < len(body):
        before = len(rig.transport.written)
        rig.transport.drain(UPLOAD_SLICE_BYTES)
        rounds += 1
        assert len(rig.transport.written) - before <= UPLOAD_SLICE_BYTES
    assert rounds == 3
    assert rig.transport.written.endswith(body[-100:])
    assert rig.transport.written == b"POST / HTTP/1.1\r\n\r\n" + body
    rig.feed(LENGTH_5 + b"hello")
    assert rig.last_two == ["reusable", "end"]


def test_a_server_that_takes_no_more_of_the_request_times_out() -> None:
    rig = Rig(room=1)
    rig.begin(b"x" * (3 * UPLOAD_SLICE_BYTES))
    rig.after(119.0)
    rig.transport.drain(1)
    rig.after(119.0)
    assert rig.events == []
    rig.after(1.0)
    assert isinstance(rig.failure, UpstreamTimeout)
    assert rig.failure.phase is Phase.WRITE


def test_an_answer_before_the_whole_request_was_taken_ends_the_connection() -> None:
    rig = Rig(room=1)
    rig.begin(b"x" * (3 * UPLOAD_SLICE_BYTES))
    rig.feed(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno")
    assert rig.events == [("headers", 413), "over", ("end", b"no")]
    assert rig.transport.closed
    written = len(rig.transport.written)
    rig.transport.drain(1 << 30)
    assert len(rig.transport.written) == written


def test_an_answer_while_the_transport_still_holds_our_bytes_ends_the_connection(rig: Rig) -> None:
    rig.begin()
    rig.transport.buffered = 1
    rig.feed(LENGTH_5 + b"hello")
    assert rig.last_two == ["over", "end"]


def test_shutting_down_fails_what_is_in_flight(rig: Rig) -> None:
    rig.begin()
    rig.feed(LENGTH_5)
    rig.connection.shut_down()
    assert isinstance(rig.failure, UpstreamClosed) and rig.failure.headers_received
    assert rig.transport.closed


def test_shutting_down_an_unused_connection_only_closes_it(rig: Rig) -> None:
    rig.connection.shut_down()
    assert rig.transport.closed and rig.events == []
