"""Bytes in -> requests, within limits. No I/O: the server feeds it and acts on what it says.

`httptools` calls straight into list and dict methods where it can; Python runs once per message.
"""

from dataclasses import dataclass

import httptools

from runtime.simulator.errors import Refused

MAX_HEADER_BYTES = 64 << 10
MAX_BODY_BYTES = 64 << 20
# With the framing of a chunked body, which is at most doubled by chunks of 6 bytes; also bounds its trailers.
MAX_MESSAGE_BYTES = 2 * MAX_BODY_BYTES + MAX_HEADER_BYTES


@dataclass(slots=True)
class Request:
    """`headers` has names as received; of several with one name, the last. `close`: the connection ends with it."""

    method: bytes
    target: bytes
    headers: dict[bytes, bytes]
    body: bytes
    close: bool
    chunks_understood: bool  # False for HTTP/1.0

    def header(self, name: bytes) -> bytes | None:
        """The value of a header, whose `name` is given in lower case."""
        return _find(self.headers, name)


class RequestReader:
    """Reads the requests of one connection, one at a time."""

    def __init__(self) -> None:
        self._headers: dict[bytes, bytes] = {}
        self._target: list[bytes] = []
        self._body: list[bytes] = []
        self._fed_bytes = 0
        self._request: Request | None = None
        self._head_complete = False
        self._pipelined = False
        self._continue_told = False
        self.on_header = self._headers.__setitem__
        self.on_url = self._target.append
        self.on_body = self._body.append
        self._parser = httptools.HttpRequestParser(self)

    def on_headers_complete(self) -> None:
        self._head_complete = True

    def on_message_complete(self) -> None:
        self._pipelined = self._request is not None
        http_1_0 = self._parser.get_http_version() == "1.0"
        self._request = Request(
            self._parser.get_method(),
            b"".join(self._target),
            self._headers.copy(),
            self._body[0] if len(self._body) == 1 else b"".join(self._body),
            http_1_0 or not self._parser.should_keep_alive(),
            not http_1_0,
        )
        self._headers.clear()
        self._target.clear()
        self._body.clear()
        self._head_complete = self._continue_told = False

    def feed(self, data: bytes) -> Request | None:
        """The request that `data` completes; raises Refused, after which the connection is of no more use."""
        self._fed_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as error:
            raise Refused(400, "this server speaks HTTP/1.1 only") from error
        except httptools.HttpParserError as error:
            raise Refused(400, "this is not HTTP/1.1") from error
        request = self._request
        if request is None:
            self._check_limits()
            return None
        if self._pipelined:
            raise Refused(400, "requests may not be pipelined")
        self._check_request(request)
        self._request = None
        self._fed_bytes = 0
        return request

    def wants_continue(self) -> bool:
        """True once per request whose client waits for `100 Continue` before it sends its body."""
        if not self._head_complete or self._body or self._continue_told:
            return False
        self._continue_told = True
        expect = _find(self._headers, b"expect")
        return expect is not None and expect.lower() == b"100-continue"

    def _check_request(self, request: Request) -> None:
        if len(request.body) > MAX_BODY_BYTES:
            raise Refused(413, "the body is larger than 64 MiB")
        if self._fed_bytes > MAX_HEADER_BYTES:
            _check_head(len(request.target), request.headers)

    def _check_limits(self) -> None:
        """The same for a request that is not complete yet."""
        if self._fed_bytes <= MAX_HEADER_BYTES:
            return
        if not self._head_complete:
            raise Refused(431, "the headers are larger than 64 KiB")
        _check_head(sum(map(len, self._target)), self._headers)
        if self._fed_bytes > MAX_BODY_BYTES and sum(map(len, self._body)) > MAX_BODY_BYTES:
            raise Refused(413, "the body is larger than 64 MiB")
        if self._fed_bytes > MAX_MESSAGE_BYTES:
            raise Refused(413, "the body is larger than 64 MiB")


def _check_head(target_bytes: int, headers: dict[bytes, bytes]) -> None:
    if target_bytes + sum(map(len, headers)) + sum(map(len, headers.values())) > MAX_HEADER_BYTES:
        raise Refused(431, "the headers are larger than 64 KiB")


def _find(headers: dict[bytes, bytes], name: bytes) -> bytes | None:
    """The value of the header that is `name` in lower case."""
    value = headers.get(name)
    if value is None:
        return next((value for key, value in headers.items() if key.lower() == name), None)
    return value
