"""What can go wrong between us and the LLM server, named by whose doing it was.

Every error says whether any byte of the request may have reached the server (`request_sent`). Where it is
False, the same request may be sent elsewhere; where it is True, a POST may already have been generated and
billed, and nobody here sends it twice. Messages hold addresses and the parser's fixed phrases, never a URL
with credentials, a header value or a body.
"""

from enum import StrEnum


class Phase(StrEnum):
    """What we were waiting for when the time was up."""

    CONNECT = "connect"  # the TCP and TLS handshakes
    WRITE = "write"  # the server to take more of the request body
    FIRST_BYTE = "first_byte"  # the response headers, counted from the request being written
    IDLE = "idle"  # the next byte of the response body


class UpstreamError(Exception):
    """The upstream leg of a request failed."""

    def __init__(self, message: str, *, request_sent: bool) -> None:
        super().__init__(message)
        self.request_sent = request_sent


class UpstreamConnectError(UpstreamError):
    """No connection: refused, unreachable, unknown host, TLS refused, or the pool is closed. Nothing was sent."""

    def __init__(self, message: str) -> None:
        super().__init__(message, request_sent=False)


class UpstreamBusy(UpstreamError):
    """Every connection is in use, and the queue is full or the wait was too long. Nothing was sent."""

    def __init__(self, message: str) -> None:
        super().__init__(message, request_sent=False)


class UpstreamTimeout(UpstreamError):
    """The server took too long; `phase` says with what."""

    def __init__(self, phase: Phase, after_s: float) -> None:
        super().__init__(f"upstream timed out ({phase}) after {after_s:g} s", request_sent=phase != Phase.CONNECT)
        self.phase = phase


class UpstreamProtocolError(UpstreamError):
    """The answer is not HTTP/1.x as we accept it: bad framing, oversized headers, an upgrade nobody asked for."""

    def __init__(self, message: str) -> None:
        super().__init__(message, request_sent=True)


class UpstreamClosed(UpstreamError):
    """The connection was lost before the response or, if `headers_received`, in the middle of it."""

    def __init__(self, message: str, *, headers_received: bool) -> None:
        super().__init__(message, request_sent=True)
        self.headers_received = headers_received
