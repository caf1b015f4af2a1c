import pytest

from runtime.simulator.errors import Refused
from runtime.simulator.reading import MAX_BODY_BYTES, MAX_HEADER_BYTES, Request, RequestReader

SIMPLE = b"POST /a?b=c HTTP/1.1\r\nHost: x\r\nX-Request-Id: r1\r\ncontent-length: 4\r\n\r\nbody"


def read(data: bytes) -> Request:
    request = RequestReader().feed(data)
    assert request is not None
    return request


def test_a_request_is_read() -> None:
    request = read(SIMPLE)
    assert (request.method, request.target, request.body) == (b"POST", b"/a?b=c", b"body")
    assert (request.close, request.chunks_understood) == (False, True)
    assert request.header(b"x-request-id") == b"r1"
    assert request.header(b"authorization") is None


def test_a_request_may_come_byte_by_byte() -> None:
    reader = RequestReader()
    read = [reader.feed(SIMPLE[at : at + 1]) for at in range(len(SIMPLE))]
    assert read[:-1] == [None] * (len(SIMPLE) - 1)
    assert read[-1] == RequestReader().feed(SIMPLE)


def test_nothing_of_one_request_is_left_for_the_next() -> None:
    reader = RequestReader()
    reader.feed(SIMPLE)
    second = reader.feed(b"GET / HTTP/1.1\r\nHost: y\r\n\r\n")
    assert second == Request(b"GET", b"/", {b"Host": b"y"}, b"", False, True)


def test_a_chunked_body_is_put_together() -> None:
    data = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n"
    assert read(data).body == b"abc"


@pytest.mark.parametrize(
    ("line", "headers", "close", "chunks"),
    [
        (b"GET / HTTP/1.1", b"Connection: close\r\n", True, True),
        (b"GET / HTTP/1.0", b"", True, False),
        (b"GET / HTTP/1.0", b"Connection: keep-alive\r\n", True, False),
    ],
)
def test_who_ends_the_connection(line: bytes, headers: bytes, close: bool, chunks: bool) -> None:
    request = read(line + b"\r\n" + headers + b"\r\n")
    assert (request.close, request.chunks_understood) == (close, chunks)


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01\x02\x00\x01",
        b"GET / SPDY/9\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n",
        SIMPLE + SIMPLE,
    ],
)
def test_what_it_does_not_speak_is_refused(data: bytes) -> None:
    with pytest.raises(Refused) as caught:
        RequestReader().feed(data)
    assert caught.value.status == 400


def test_headers_end_at_their_limit_wherever_they_are_cut() -> None:
    head = b"GET / HTTP/1.1\r\n" + b"a: " + b"x" * MAX_HEADER_BYTES
    for data in (head, head + b"\r\n\r\n", head + b"\r\ncontent-length: 5\r\n\r\n"):
        with pytest.raises(Refused) as caught:
            RequestReader().feed(data)
        assert caught.value.status == 431


def test_a_long_target_counts_as_a_header() -> None:
    with pytest.raises(Refused) as caught:
        RequestReader().feed(b"GET /" + b"x" * MAX_HEADER_BYTES + b" HTTP/1.1\r\n\r\n")
    assert caught.value.status == 431


def test_a_body_of_the_limit_is_taken_and_one_byte_more_is_not() -> None:
    body = bytes(MAX_BODY_BYTES)
    head = b"POST / HTTP/1.1\r\ncontent-length: %d\r\n\r\n"
    assert len(read(head % MAX_BODY_BYTES + body).body) == MAX_BODY_BYTES
    with pytest.raises(Refused) as caught:
        RequestReader().feed(head % (MAX_BODY_BYTES + 1) + body + b"x")
    assert caught.value.status == 413


def test_an_endless_body_is_refused_before_it_ends() -> None:
    reader = RequestReader()
    reader.feed(b"POST / HTTP/1.1\r\ncontent-length: 999999999999\r\n\r\n")
    piece = bytes(1 << 20)
    with pytest.raises(Refused) as caught:
        for _ in range(100):
            reader.feed(piece)
    assert caught.value.status == 413


def test_endless_trailers_are_refused() -> None:
    reader = RequestReader()
    reader.feed(b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\n")
    with pytest.raises(Refused) as caught:
        for number in range(100):
            reader.feed(b"t%d: " % number + b"x" * 1_000 + b"\r\n")
    assert caught.value.status == 431


def test_a_client_that_waits_to_send_its_body_is_told_once() -> None:
    reader = RequestReader()
    reader.feed(b"POST / HTTP/1.1\r\nExpect: 100-continue\r\ncontent-length: 4\r\n")
    assert not reader.wants_continue()
    reader.feed(b"\r\n")
    assert reader.wants_continue()
    assert not reader.wants_continue()
    assert reader.feed(b"body") is not None


def test_a_client_that_does_not_wait_is_not_told() -> None:
    reader = RequestReader()
    reader.feed(b"POST / HTTP/1.1\r\ncontent-length: 4\r\n\r\n")
    assert not reader.wants_continue()
