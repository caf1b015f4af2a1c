"""The rules beyond httptools': which framing we accept, when the end is the end, and what is too much."""

import pytest

from proxy.upstream.parser import ResponseParser

MAX_HEADER_BYTES = 1_000
HEAD = b"HTTP/1.1 200 OK\r\n"


def parsed(*pieces: bytes) -> ResponseParser:
    parser = ResponseParser(MAX_HEADER_BYTES)
    for piece in pieces:
        parser.feed(piece)
    return parser


def test_a_response_with_a_length() -> None:
    parser = parsed(HEAD + b"X-Empty:\r\nX-Name:  a b \t\r\nContent-Length: 5\r\n\r\nhello")
    assert parser.status == 200
    assert parser.headers == [(b"x-empty", b""), (b"x-name", b"a b"), (b"content-length", b"5")]
    assert parser.take_body() == b"hello"
    assert parser.take_body() == b""
    assert parser.complete and parser.reusable and parser.fault is None


def test_a_chunked_response_loses_its_framing_its_extensions_and_its_trailers() -> None:
    parser = parsed(
        HEAD + b"Transfer-Encoding: Chunked\r\n\r\n3;note=x\r\nabc\r\n2\r\nde\r\n0\r\nX-Sum: 1\r\nX-None:\r\n\r\n"
    )
    assert parser.take_body() == b"abcde"
    assert parser.headers == [(b"transfer-encoding", b"Chunked")]
    assert parser.complete and parser.reusable


def test_pieces_of_one_feed_are_joined_and_a_single_piece_is_passed_as_it_is() -> None:
    parser = parsed(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
    parser.feed(b"3\r\nabc\r\n")
    only = parser.parts[0]
    assert parser.take_body() is only
    parser.feed(b"1\r\nd\r\n1\r\ne\r\n")
    assert parser.take_body() == b"de"


@pytest.mark.parametrize(
    ("response", "reusable"),
    [
        (HEAD + b"Content-Length: 0\r\n\r\n", True),
        (b"HTTP/1.1 204 No Content\r\n\r\n", True),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", True),
        (HEAD + b"Connection: close\r\nContent-Length: 0\r\n\r\n", False),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", False),
        (b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n", True),
        (HEAD + b"Content-Length: 0\r\n\r\nHTTP/1.1 200 OK\r\n", False),
        (HEAD + b"Content-Length: 0\r\n\r\n!", False),
    ],
)
def test_a_connection_is_reusable_when_both_sides_know_where_it_stands(response: bytes, reusable: bool) -> None:
    parser = parsed(response)
    assert parser.complete
    assert parser.reusable is reusable


def test_a_second_response_does_not_touch_the_first() -> None:
    parser = parsed(
        HEAD + b"Content-Length: 2\r\n\r\nhiHTTP/1.1 500 Evil\r\nX-Evil: 1\r\nContent-Length: 4\r\n\r\nevil"
    )
    assert (parser.status, parser.headers, parser.take_body()) == (200, [(b"content-length", b"2")], b"hi")
    assert parser.fault == "the upstream sent more than one response"


def test_only_an_unframed_body_ends_with_the_connection() -> None:
    assert parsed(HEAD + b"\r\nhel", b"lo").ends_at_eof
    assert not parsed(HEAD).ends_at_eof
    assert not parsed(HEAD + b"Content-Length: 5\r\n\r\nhell").ends_at_eof
    assert not parsed(HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n").ends_at_eof
    assert not parsed(HEAD + b"Content-Length: 5\r\n\r\nhello").ends_at_eof


def test_informational_responses_are_skipped_with_their_headers() -> None:
    early = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\nContent-Length: 7\r\n\r\n"
    parser = parsed(b"HTTP/1.1 100 Continue\r\n\r\n" + early)
    assert not parser.head_complete and not parser.complete
    parser.feed(HEAD + b"\r\nhello")
    assert parser.status == 200
    assert parser.headers == []
    assert parser.ends_at_eof, "the length of a 1xx response must not frame the final one"


@pytest.mark.parametrize(
    ("response", "fault"),
    [
        (b"SSH-2.0-OpenSSH_9.2\r\n", "not valid HTTP"),
        (b"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n", "does not speak HTTP/1.x"),
        (b"HTTP/1.1 101 Switching Protocols\r\n\r\n", "status 101"),
        (b"HTTP/1.1 101 X\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n", "status 101"),
        (b"HTTP/1.1 099 Odd\r\n\r\n", "status 99"),
        (HEAD + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nhi", "Duplicate Content-Length"),
        (HEAD + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n", "not valid HTTP|transfer coding"),
        (HEAD + b"Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n", "not valid HTTP"),
        (HEAD + b"Transfer-Encoding: gzip\r\n\r\n", "transfer coding"),
        (HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n", "transfer coding"),
        (HEAD + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", "transfer coding|not valid"),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", "chunk size"),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhi0\r\n", "chunk data"),
        (HEAD + b"Content-Length: -1\r\n\r\n", "Content-Length"),
        (HEAD + b"Bad Name: x\r\n\r\n", "not valid HTTP"),
    ],
)
def test_what_cannot_be_trusted_is_a_fault(response: bytes, fault: str) -> None:
    parser = parsed(response)
    assert parser.fault is not None
    assert any(part in parser.fault for part in fault.split("|")), parser.fault
    assert not parser.complete and not parser.reusable


@pytest.mark.parametrize("step", [1, 7, 64, 10_000])
@pytest.mark.parametrize(
    "endless",
    [
        HEAD + b"X-Long: " + b"x" * 2_000,
        HEAD + b"x" * 2_000,
        HEAD + b"X: y\r\n" * 500,
        b"HTTP/1.1 200 " + b"x" * 2_000,
        b"HTTP/1.1 100 Continue\r\n\r\n" * 100,
        b"\r\n" * 1_000,
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n1;" + b"x" * 2_000,
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\nX-Long: " + b"x" * 2_000,
    ],
    ids=["value", "name", "many", "reason", "1xx", "blank lines", "chunk extension", "trailer"],
)
def test_what_brings_no_body_is_limited(endless: bytes, step: int) -> None:
    parser = ResponseParser(MAX_HEADER_BYTES)
    fed = 0
    while fed < len(endless) and parser.fault is None:
        parser.feed(endless[fed : fed + step])
        fed += step
    assert parser.fault == "the upstream's headers are too large"
    assert step == 10_000 or fed <= MAX_HEADER_BYTES + len(HEAD) + 64 + step


def test_headers_at_the_limit_pass_and_a_long_body_is_not_counted() -> None:
    line = b"X-A: " + b"x" * (MAX_HEADER_BYTES // 2)
    parser = parsed(HEAD + line + b"\r\nContent-Length: 100000\r\n\r\n", *[b"y" * 100] * 1_000)
    assert parser.fault is None and parser.complete
    assert len(parser.take_body()) == 100_000


def test_reset_forgets_everything() -> None:
    parser = parsed(HEAD + b"X-Old: 1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nold\r\nzz")
    first_headers = parser.headers
    parser.reset()
    assert (parser.status, parser.headers, parser.parts) == (0, [], [])
    assert not parser.head_complete and not parser.complete and parser.fault is None
    parser.feed(HEAD + b"Content-Length: 3\r\n\r\nnew")
    assert parser.take_body() == b"new" and parser.reusable
    assert first_headers == [(b"x-old", b"1"), (b"transfer-encoding", b"chunked")], "the reader may keep its list"
