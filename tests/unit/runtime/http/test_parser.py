"""Bytes in, requests out; whatever could be read in two ways is a fault."""

from dataclasses import dataclass
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.http.errors import BodyBroken, BodyError
from runtime.http.limits import HttpLimits
from runtime.http.parser import RequestParser
from runtime.http.request import HTTP_1_0, HTTP_1_1, Request

LIMITS = HttpLimits(max_header_bytes=1024, max_body_bytes=100, max_pipelined=4)
HEAD = b"POST /a?b HTTP/1.1\r\nHost: f\r\n"


@dataclass(frozen=True)
class Seen:
    """One request, as plain values."""

    method: str
    path: str
    version: tuple[int, int]
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes | None  # None: it did not come whole
    keeps_alive: bool


def seen(request: Request) -> Seen:
    body = b"".join(request.body._parts) if request.body.is_complete else None
    headers = tuple(request.raw_headers)
    return Seen(request.method, request.path, request.version, headers, body, request.keeps_alive)


def parse(*pieces: bytes, limits: HttpLimits = LIMITS) -> tuple[list[Seen], str | None]:
    """What comes out of a connection on which these pieces arrive, taken after each."""
    parser, requests = RequestParser(limits), []
    for piece in pieces:
        parser.feed(piece)
        requests += parser.take()
    return [seen(request) for request in requests], parser.fault


def only(raw: bytes) -> Seen:
    (request,), fault = parse(raw)
    assert fault is None
    return request


def test_a_request() -> None:
    request = only(HEAD + b"Content-Length: 3 \r\nX-A: \t b\t \r\n\r\nabc")
    headers = ((b"host", b"f"), (b"content-length", b"3"), (b"x-a", b"b"))
    assert request == Seen("POST", "/a", HTTP_1_1, headers, b"abc", True)


def test_a_chunked_body_without_its_extensions_and_trailers() -> None:
    chunks = b"3;a=b\r\nabc\r\n2\r\nde\r\n0\r\nX-T: 1\r\n\r\n"
    request = only(HEAD + b"Transfer-Encoding: Chunked\r\n\r\n" + chunks)
    assert request.body == b"abcde"
    assert request.headers == ((b"host", b"f"), (b"transfer-encoding", b"Chunked"))


@pytest.mark.parametrize(
    ("line", "header", "version", "keeps_alive"),
    [
        (b"HTTP/1.1", b"", HTTP_1_1, True),
        (b"HTTP/1.1", b"Connection: close\r\n", HTTP_1_1, False),
        (b"HTTP/1.1", b"Connection: x, Close\r\n", HTTP_1_1, False),
        (b"HTTP/1.0", b"", HTTP_1_0, False),
        (b"HTTP/1.0", b"Connection: keep-alive\r\n", HTTP_1_0, True),
    ],
)
def test_who_may_go_on(line: bytes, header: bytes, version: tuple[int, int], keeps_alive: bool) -> None:
    request = only(b"GET / " + line + b"\r\nHost: f\r\n" + header + b"\r\n")
    assert (request.version, request.keeps_alive) == (version, keeps_alive)


def test_http_1_0_needs_no_host() -> None:
    assert only(b"GET / HTTP/1.0\r\n\r\n").headers == ()


UPGRADE = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\n"


@pytest.mark.parametrize(
    ("framed", "body"),
    [
        (b"\r\n", b""),
        (b"Content-Length: 0\r\n\r\n", b""),
        (b"Content-Length: 3\r\n\r\nabc", b"abc"),
        (b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", b"abc"),
    ],
)
def test_the_offer_of_another_protocol_is_passed_over_and_the_body_is_read(framed: bytes, body: bytes) -> None:
    raw = HEAD + UPGRADE + framed
    alone = only(raw)
    assert (alone.path, alone.body, alone.keeps_alive) == ("/a", body, True)
    after = b"GET /next HTTP/1.1\r\nHost: f\r\n\r\n"
    (first, second), fault = parse(raw + after)
    assert (first, second.path, second.body, fault) == (alone, "/next", b"", None)


BAD: dict[str, bytes] = {
    "two framings": HEAD + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
    "two framings, the other way round": HEAD + b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n",
    "two lengths": HEAD + b"Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
    "a list of lengths": HEAD + b"Content-Length: 3, 3\r\n\r\nabc",
    "a length with a sign": HEAD + b"Content-Length: +3\r\n\r\nabc",
    "no length": HEAD + b"Content-Length:\r\n\r\n",
    "an endless length": HEAD + b"Content-Length: " + b"9" * 40 + b"\r\n\r\n",
    "two codings": HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "a coding that is last": HEAD + b"Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
    "no chunked coding": HEAD + b"Transfer-Encoding: identity\r\n\r\n",
    "codings on two lines": HEAD + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "an odd coding": HEAD + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
    "chunks in HTTP/1.0": b"POST / HTTP/1.0\r\nHost: f\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "no host": b"GET / HTTP/1.1\r\n\r\n",
    "two hosts": HEAD + b"Host: g\r\n\r\n",
    "two credentials": HEAD + b"Authorization: a\r\nauthorization: b\r\n\r\n",
    "two content types": HEAD + b"Content-Type: a/b\r\nContent-Type: a/c\r\n\r\n",
    "a folded header": HEAD + b"X-A: b\r\n c\r\n\r\n",
    "a bare line feed": HEAD + b"X-A: b\nX-C: d\r\n\r\n",
    "a bare carriage return": HEAD + b"X-A: b\rX-C: d\r\n\r\n",
    "a space before the colon": HEAD + b"X-A : b\r\n\r\n",
    "no name": HEAD + b": b\r\n\r\n",
    "no colon": HEAD + b"X-A\r\n\r\n",
    "a name that is none": HEAD + b"X(A): b\r\n\r\n",
    "a NUL": HEAD + b"X-A: b\x00c\r\n\r\n",
    "a control character": HEAD + b"X-A: b\x01c\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "a version of 2": b"GET / HTTP/2.0\r\nHost: f\r\n\r\n",
    "a version of 0.9": b"GET /\r\n\r\n",
    "no version at all": b"GET / HTTP/1.2\r\nHost: f\r\n\r\n",
    "a tunnel": b"CONNECT f:80 HTTP/1.1\r\nHost: f\r\n\r\n",
    "a method in lower case": b"get / HTTP/1.1\r\nHost: f\r\n\r\n",
    "a target that is none": b"GET a HTTP/1.1\r\nHost: f\r\n\r\n",
    "a target with bytes that are no ASCII": b"GET /\xc3\xbc HTTP/1.1\r\nHost: f\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
}


@pytest.mark.parametrize("what", BAD)
def test_what_two_servers_could_read_in_two_ways_is_refused(what: str) -> None:
    requests, fault = parse(BAD[what])
    assert requests == [] and fault
    byte_by_byte = [BAD[what][at : at + 1] for at in range(len(BAD[what]))]
    assert parse(*byte_by_byte) == ([], fault)


BAD_CHUNKS: dict[str, bytes] = {
    "no size": b"xyz\r\nabc\r\n",
    "a sign": b"+3\r\nabc\r\n",
    "a hex prefix": b"0x3\r\nabc\r\n",
    "a space": b"3 \r\nabc\r\n",
    "too long a size": b"f" * 40 + b"\r\nabc\r\n",
    "a bare line feed after the size": b"3\nabc\r\n",
    "a bare line feed after the chunk": b"3\r\nabc\n",
    "a size too small": b"2\r\nabc\r\n",
    "an empty line": b"\r\n3\r\nabc\r\n",
    "a control character in an extension": b"3;\x01\r\nabc\r\n",
    "a bad trailer": b"3\r\nabc\r\n0\r\nX T: 1\r\n\r\n",
}


@pytest.mark.parametrize("what", BAD_CHUNKS)
async def test_a_badly_chunked_body_breaks_its_request(what: str) -> None:
    parser = RequestParser(LIMITS)
    parser.feed(HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + BAD_CHUNKS[what] + b"0\r\n\r\n")
    (request,) = parser.take()
    assert parser.fault
    with pytest.raises(BodyBroken):
        await request.read()


def test_nothing_is_read_after_a_fault() -> None:
    good = HEAD + b"\r\n"
    requests, fault = parse(good, b"no HTTP\r\n\r\n", good)
    assert (len(requests), bool(fault)) == (1, True)


def test_nothing_is_read_after_the_client_said_that_it_ends() -> None:
    requests, fault = parse(HEAD + b"Connection: close\r\n\r\n" + HEAD + b"\r\n")
    assert len(requests) == 1 and fault


async def test_a_body_that_is_cut_by_the_end_of_the_connection() -> None:
    parser = RequestParser(LIMITS)
    parser.feed(HEAD + b"Content-Length: 5\r\n\r\nabc")
    (request,) = parser.take()
    parser.close()
    with pytest.raises(BodyBroken):
        await request.read()
    parser.feed(HEAD + b"\r\n")
    assert parser.take() == []


# limits

LONG = b"x" * 2000


@pytest.mark.parametrize(
    "raw",
    [
        b"GET /" + LONG + b" HTTP/1.1\r\nHost: f\r\n\r\n",
        HEAD + b"X-A: " + LONG + b"\r\n\r\n",
        HEAD + LONG + b": b\r\n\r\n",
        HEAD + b"X: 1\r\n" * 200 + b"\r\n",
    ],
    ids=["line", "value", "name", "many"],
)
def test_a_head_that_is_too_large(raw: bytes) -> None:
    assert parse(raw) == ([], "the headers are too large")
    requests, fault = parse(*(raw[at : at + 50] for at in range(0, len(raw), 50)))
    assert requests == [] and fault


@pytest.mark.parametrize("endless", [b"x", b"X: 1\r\n"], ids=["a line", "lines"])
def test_a_head_without_end(endless: bytes) -> None:
    requests, fault = parse(HEAD, *[endless * 50] * 30)
    assert requests == [] and fault


@pytest.mark.parametrize("endless", [b"x", b"X: 1\r\n"], ids=["a line", "lines"])
def test_trailers_without_end(endless: bytes) -> None:
    _, fault = parse(HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", *[endless * 50] * 30)
    assert fault == "too much that is no body"


def test_framing_for_its_own_sake() -> None:
    pieces = [b"1;" + b"x" * 200 + b"\r\na\r\n"] * 20
    _, fault = parse(HEAD + b"Transfer-Encoding: chunked\r\n\r\n", *pieces)
    assert fault == "too much that is no body"


def test_small_chunks_are_no_offence() -> None:
    requests, fault = parse(HEAD + b"Transfer-Encoding: chunked\r\n\r\n", *[b"1\r\na\r\n"] * 100, b"0\r\n\r\n")
    assert (requests[0].body, fault) == (b"a" * 100, None)


async def test_a_body_beyond_the_limit_is_not_kept() -> None:
    parser = RequestParser(LIMITS)
    parser.feed(HEAD + b"Content-Length: 1000\r\n\r\n" + b"x" * 1000)
    (request,) = parser.take()
    with pytest.raises(BodyError):
        await request.read()
    assert request.body._parts == [] and parser.fault is None


def test_of_requests_in_one_read_only_so_many_are_taken() -> None:
    parser = RequestParser(LIMITS)
    parser.feed((HEAD + b"\r\n") * 6)
    assert (len(parser.take()), parser.is_overrun) == (LIMITS.max_pipelined, True)


# A request cut into arbitrary pieces reads alike.

requests = st.lists(
    st.one_of(
        st.just(HEAD + b"\r\n"),
        st.just(b"GET /b HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"),
        st.binary(max_size=30).map(lambda body: HEAD + b"Content-Length: %d\r\n\r\n%b" % (len(body), body)),
        st.lists(st.binary(min_size=1, max_size=9), max_size=4).map(
            lambda chunks: (
                HEAD
                + b"X-A: b\r\nTransfer-Encoding: chunked\r\n\r\n"
                + b"".join(b"%x;e=f\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks)
                + b"0\r\nX-T: u\r\n\r\n"
            )
        ),
        st.binary(max_size=9).map(lambda body: HEAD + UPGRADE + b"Content-Length: %d\r\n\r\n%b" % (len(body), body)),
        st.sampled_from([*BAD.values()]),
        st.binary(max_size=20),
    ),
    max_size=3,
).map(b"".join)


@given(requests, st.lists(st.integers(min_value=0, max_value=400), max_size=8))
def test_however_it_is_cut_it_reads_alike(raw: bytes, cuts: list[int]) -> None:
    places = [0, *sorted(min(cut, len(raw)) for cut in cuts), len(raw)]
    pieces = [raw[start:end] for start, end in pairwise(places) if start < end]
    whole, in_pieces = parse(raw), parse(*pieces)
    assert in_pieces[0] == whole[0]
    assert (in_pieces[1] is None) == (whole[1] is None)


@given(st.binary(max_size=200))
def test_nothing_that_is_fed_raises(raw: bytes) -> None:
    parse(raw)
    parse(HEAD + raw)
