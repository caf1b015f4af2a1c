"""The bytes of HTTP: response heads, chunked framing, whole answers.

A head starts after its status line with whatever the connection needs (`CLOSING`), so that all the rest of an
answer can be made once and used for many requests.
"""

from functools import cache
from http import HTTPStatus

import orjson

JSON = b"application/json"
EVENT_STREAM = b"text/event-stream; charset=utf-8"
CLOSING = b"connection: close\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
LAST_CHUNK = b"0\r\n\r\n"
SERVER = b"server: farebox-simulator\r\n"


@cache  # one entry per status code
def status_line(status: int) -> bytes:
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:  # not every number from 400 to 599 has a name
        phrase = "Unknown"
    return b"HTTP/1.1 %d %s\r\n" % (status, phrase.encode())


def headers(content_type: bytes, length: int | None, extra: bytes = b"") -> bytes:
    """All after the status line up to the body; `length` None is chunked, `extra` whole lines of further headers."""
    framing = b"transfer-encoding: chunked\r\n" if length is None else b"content-length: %d\r\n" % length
    return b"%bcontent-type: %b\r\n%b%b\r\n" % (SERVER, content_type, framing, extra)


def headers_until_close(content_type: bytes, extra: bytes = b"") -> bytes:
    """Headers of an answer that ends where its connection does: HTTP/1.0 knows no chunks."""
    return b"%bcontent-type: %b\r\n%b\r\n" % (SERVER, content_type, extra)


def whole(status: int, body: bytes, *, close: bool = False, extra: bytes = b"", content_type: bytes = JSON) -> bytes:
    """A complete answer; unless told otherwise its body is JSON."""
    return b"".join(
        (status_line(status), CLOSING if close else b"", headers(content_type, len(body), extra), body),
    )


def json_answer(value: object, *, close: bool = False) -> bytes:
    return whole(200, orjson.dumps(value), close=close)


def frame(data: bytes) -> bytes:
    """One chunk of a chunked body."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def padding(size: int) -> bytes:
    """A header line with a value of `size` bytes, none for 0."""
    return b"x-padding: %b\r\n" % (b"p" * size) if size else b""
