"""Bytes of one HTTP/1.x response in, its head and body pieces out: httptools plus the rules it leaves to us.

The parser calls nobody. Its reader looks at the fields after each `feed`, so no exception of a callback can get
lost inside the C parser, and everything parsed before a fault is still there to be delivered.
"""

from http import HTTPStatus

import httptools

_FINAL_FROM = HTTPStatus.OK
_INFORMATIONAL_FROM = HTTPStatus.CONTINUE
_HEADER_LINE_EXTRA_BYTES = 4  # ": " and CRLF


class _Refused(Exception):
    """Raised inside a callback to stop the C parser; the reason is in `fault` already."""


class ResponseParser:
    """One response at a time; `reset` before the next.

    status, headers   of the final (not 1xx) response, valid once `head_complete`; names lower-cased
    parts             body bytes of the last feeds, chunk framing removed; emptied by `take_body`
    complete          the whole message was seen
    fault             why the rest cannot be trusted, or None; after `complete` it means bytes nobody asked for
    """

    __slots__ = (
        "_barren_bytes",
        "_framed",
        "_head_bytes",
        "_http",
        "_keep_alive",
        "_max_header_bytes",
        "complete",
        "fault",
        "head_complete",
        "headers",
        "on_body",
        "parts",
        "status",
    )

    def __init__(self, max_header_bytes: int) -> None:
        self._max_header_bytes = max_header_bytes
        self.parts: list[bytes] = []
        # The C parser appends to the list itself: a piece of body costs no Python frame.
        self.on_body = self.parts.append
        self.reset()

    def reset(self) -> None:
        self.parts.clear()
        self.headers: list[tuple[bytes, bytes]] = []
        self.status = 0
        self.head_complete = self.complete = False
        self.fault: str | None = None
        self._framed = self._keep_alive = False
        self._head_bytes = self._barren_bytes = 0
        # A new C parser (0.2 µs) per response: nothing of one response can reach the next.
        self._http = httptools.HttpResponseParser(self)

    @property
    def reusable(self) -> bool:
        """The message is over, the server keeps the connection open, and sent nothing beyond it."""
        return self.complete and self._keep_alive and self.fault is None

    @property
    def ends_at_eof(self) -> bool:
        """Neither length nor chunks: the end of the connection is the end of the body (RFC 9112, section 6.3)."""
        return self.head_complete and not self.complete and not self._framed and self.fault is None

    def feed(self, data: bytes) -> None:
        """Parse; never raises. Look at the fields afterwards."""
        try:
            self._http.feed_data(data)
        except httptools.HttpParserError as error:  # also what becomes of _Refused
            self.fault = self.fault or f"the upstream's response is not valid HTTP: {error}"
        if self.parts:
            self._barren_bytes = 0
        else:
            self._count_barren(len(data))

    def take_body(self) -> bytes:
        """The body bytes parsed since the last call, as one piece: itself if it is one, joined if several."""
        parts = self.parts
        body = parts[0] if len(parts) == 1 else b"".join(parts)
        parts.clear()
        return body

    def _count_barren(self, length: int) -> None:
        # Headers, 1xx responses, chunk extensions and trailers that never end: the C parser would collect an
        # unfinished line for ever, so what brings no body is limited too.
        self._barren_bytes += length
        if self._barren_bytes > self._max_header_bytes and not self.complete:
            self.fault = self.fault or "the upstream's headers are too large"

    def _refuse(self, reason: str) -> None:
        self.fault = reason
        raise _Refused

    # Called by httptools.

    def on_message_begin(self) -> None:
        if self.complete:
            self._refuse("the upstream sent more than one response")

    def on_header(self, name: bytes, value: bytes) -> None:
        self._head_bytes += len(name) + len(value) + _HEADER_LINE_EXTRA_BYTES
        if self._head_bytes > self._max_header_bytes:
            self._refuse("the upstream's headers are too large")
        if self.head_complete:
            return  # a trailer: read and dropped, we announce none to the client
        name = name.lower()
        value = value.rstrip(b" \t")  # llhttp strips only the left side
        if name == b"content-length":
            self._framed = True
        elif name == b"transfer-encoding":
            self._accept_coding(value)
        self.headers.append((name, value))

    def _accept_coding(self, value: bytes) -> None:
        # We send no TE header, so a server may use no other coding than chunked (RFC 9112, sections 6.1 and 7).
        if self._framed or value.lower() != b"chunked":
            self._refuse("the upstream used a transfer coding other than chunked")
        self._framed = True

    def on_headers_complete(self) -> None:
        status = self._http.get_status_code()
        if status < _INFORMATIONAL_FROM or status == HTTPStatus.SWITCHING_PROTOCOLS:
            self._refuse(f"the upstream answered with status {status}")
        if not self._http.get_http_version().startswith("1."):
            self._refuse("the upstream does not speak HTTP/1.x")
        if status < _FINAL_FROM:
            self.headers = []
            self._framed = False
            return
        self.status = status
        self.head_complete = True
        self._keep_alive = self._http.should_keep_alive()
        self._barren_bytes = 0

    def on_message_complete(self) -> None:
        self.complete = self.head_complete  # the end of a 1xx response ends nothing
