"""Bytes of HTTP/1.x in, requests out: httptools (llhttp, in its strict mode) plus the rules that it leaves to us.

The parser calls nobody but the body of the request that it reads. Its reader looks at `requests` and `fault` after
each `feed`, so no exception of a callback can get lost inside the C parser. Whatever two servers could read in two
ways is a fault, after which nothing on the connection can be trusted.
"""

import httptools

from runtime.http.body import RequestBody
from runtime.http.limits import HttpLimits
from runtime.http.request import HTTP_1_0, HTTP_1_1, Headers, RawHeaders, Request

_VERSIONS = {"1.1": HTTP_1_1, "1.0": HTTP_1_0}
_LINE_EXTRA_BYTES = 4  # ": " and CRLF, of a header line; "method target version" has a few more
# Two of them, and two readers may each choose another (RFC 9110, section 5.3: none of them is a list).
_SINGLE = (b"host", b"content-length", b"content-type", b"content-encoding", b"transfer-encoding", b"authorization")
# A byte a chunk needs 5 of framing. Who sends more than this, for each byte of body, sends framing for its own sake.
_FRAMING_PER_BODY_BYTE = 16
# A body's head for a parser that begins in its middle; see `_passed_over`.
_LENGTH_AGAIN = b"POST / HTTP/1.1\r\ncontent-length: %b\r\n\r\n"
_CHUNKED_AGAIN = b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n"


class _Refused(Exception):
    """Raised inside a callback to stop the C parser; the reason is in `fault` already."""


class RequestParser:
    """The requests of one connection, one after another.

    requests    whose heads are complete, oldest first; taken away by `take`. Their bodies fill as bytes are fed
    is_within   a request, its head or its body, has begun and not ended
    fault       why what follows cannot be read, or None
    is_overrun  the fault is only that there is too much of it at once
    """

    __slots__ = (
        "_barren_bytes",
        "_began_now",
        "_body_limit",
        "_fed_bytes",
        "_http",
        "_is_head_again",
        "_is_upgrade",
        "_limits",
        "_raw",
        "_request",
        "_target",
        "fault",
        "is_overrun",
        "is_within",
        "requests",
    )

    def __init__(self, limits: HttpLimits) -> None:
        self._limits = limits
        self.requests: list[Request] = []
        self.fault: str | None = None
        self.is_within = self.is_overrun = False
        self._request: Request | None = None  # whose body is being read
        self._raw: RawHeaders = []
        self._target = b""
        self._body_limit = limits.max_body_bytes
        self._is_upgrade = self._is_head_again = self._began_now = False
        self._barren_bytes = self._fed_bytes = 0
        self._http = httptools.HttpRequestParser(self)

    def feed(self, data: bytes) -> None:
        """Parse; never raises. Look at the fields afterwards."""
        if self.fault is not None:
            return
        self._began_now = False
        self._fed_bytes = len(data)
        rest = data
        while rest:
            try:
                self._http.feed_data(rest)
                rest = b""
            except httptools.HttpParserUpgrade as stop:
                rest = self._passed_over(rest[stop.args[0] :])
            except httptools.HttpParserError as error:  # also what becomes of _Refused
                self._fail(str(error))
                rest = b""
        if self.is_within:
            self._count_barren(len(data))

    def close(self) -> None:
        """Nothing more will come."""
        self._fail("the connection is over")
        # it knows us, we know it: left alone, that is garbage to be searched for
        del self._http

    def take(self) -> list[Request]:
        requests, self.requests = self.requests, []
        return requests

    def _passed_over(self, rest: bytes) -> bytes:
        """The offer of another protocol is declined by going on (RFC 9110, section 7.8): what to parse for `rest`.

        Java's client offers `h2c` with each first request. llhttp stops at such a head as if no body came: a parser
        that begins anew is told of the body.
        """
        request, self._is_upgrade = self._request, False
        if request is None:
            return rest
        self._http = httptools.HttpRequestParser(self)
        self._is_head_again = True
        length = request.headers.get_raw(b"content-length")
        return (_CHUNKED_AGAIN if length is None else _LENGTH_AGAIN % length) + rest

    def _count_barren(self, length: int) -> None:
        # Lines that never end, chunk extensions and trailers: the C parser would collect or skip them for ever. Of the
        # read in which a request began nobody knows what was its own; that one is bounded by itself.
        if self._began_now:
            return
        self._barren_bytes += length
        body_bytes = 0 if self._request is None else self._request.body.size_bytes
        if self._barren_bytes > self._limits.max_header_bytes + body_bytes * (1 + _FRAMING_PER_BODY_BYTE):
            self._fail("too much that is no body")

    def _fail(self, reason: str) -> None:
        self.fault = self.fault or reason
        if self._request is not None:
            self._request.body.fail()

    def _refuse(self, reason: str) -> None:
        self._fail(reason)
        raise _Refused

    # Called by httptools.

    def on_message_begin(self) -> None:
        if self._is_head_again:
            return
        if len(self.requests) >= self._limits.max_pipelined:
            self.is_overrun = True
            self._refuse("too many requests at once")
        self._raw = []
        self._target = b""
        self._barren_bytes = 0
        self.is_within = self._began_now = True

    def on_url(self, url: bytes) -> None:
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        # llhttp strips only the left side of a value. A trailer changes nothing: the request has been handed over
        self._raw.append((name.lower(), value.rstrip(b" \t")))

    def on_headers_complete(self) -> None:
        if self._is_head_again:
            self._is_head_again = False
            return
        http = self._http
        version = _VERSIONS.get(http.get_http_version())
        method = http.get_method().decode()
        headers = Headers(self._raw)
        if version is None:
            self._refuse("not HTTP/1.x")
        elif method == "CONNECT":
            self._refuse("this is no tunnel")
        elif reason := self._fault_of(headers, version):
            self._refuse(reason)
        else:
            body = RequestBody(self._body_limit)
            self._is_upgrade = http.should_upgrade()
            self._request = Request(
                method, self._target, headers, body, version=version, keeps_alive=http.should_keep_alive()
            )
            self._raw = []
            self.requests.append(self._request)

    def _fault_of(self, headers: Headers, version: tuple[int, int]) -> str | None:
        # a head that came in one read, which is no larger, need not be measured
        if not self._began_now or self._fed_bytes > self._limits.max_header_bytes:
            size = len(self._target) + sum([len(name) + len(value) + _LINE_EXTRA_BYTES for name, value in self._raw])
            if size > self._limits.max_header_bytes:
                return "the headers are too large"
        if headers.has_twins:
            names = [name for name, _ in headers.raw]
            if any(names.count(name) > 1 for name in _SINGLE):
                return "a header comes twice"
        if version is HTTP_1_1 and headers.get_raw(b"host") is None:
            return "no host"
        coding = headers.get_raw(b"transfer-encoding")
        if coding is None:
            return None
        if coding.lower() != b"chunked" or version is not HTTP_1_1:
            return "a transfer coding other than chunked"
        # llhttp refuses that too; it is what smuggling is made of
        return None if headers.get_raw(b"content-length") is None else "two framings"

    def on_body(self, data: bytes) -> None:
        assert self._request is not None
        self._request.body.add(data)

    def on_message_complete(self) -> None:
        request = self._request
        assert request is not None
        if self._is_upgrade and _has_body(request):
            return
        request.body.end()
        self._request = None
        self.is_within = False


def _has_body(request: Request) -> bool:
    return bool(request.content_length) or request.headers.get_raw(b"transfer-encoding") is not None
