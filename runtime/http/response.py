"""A whole answer, and the bytes of an answer's head."""

from dataclasses import dataclass
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus

from runtime.clock import wall_ms

HeaderList = list[tuple[str, str]]

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_STATUS_LINES = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus}
# They have no body, and say nothing of its length (RFC 9110, section 8.6).
_BODILESS = frozenset((HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED))


@dataclass(slots=True)
class Response:
    """An answer that is complete. The connection's own headers, `date` and `content-length` are added."""

    status: int
    headers: HeaderList
    body: bytes = b""

    def to_bytes(self, connection: bytes, *, is_head: bool = False) -> bytes:
        """`connection`: a header line about the connection, or nothing. Raises ValueError as `head_bytes`."""
        if self.status in _BODILESS:
            return head_bytes(self.status, self.headers, connection)
        head = head_bytes(self.status, self.headers, b"content-length: %d\r\n%b" % (len(self.body), connection))
        return head if is_head else head + self.body


def head_bytes(status: int, headers: HeaderList, framing: bytes) -> bytes:
    """Status line and headers, to the blank line; `framing` are whole header lines.

    Raises ValueError for a header that would end its line and begin another.
    """
    text = "\r\n".join(map(": ".join, headers))
    if not text.count("\n") == text.count("\r") == max(0, len(headers) - 1) or "\0" in text:
        raise ValueError("a header holds a line break")
    line = _STATUS_LINES.get(status) or b"HTTP/1.1 %d \r\n" % status
    end = b"\r\n" if headers else b""
    return b"".join((line, text.encode(), end, framing, _date_line(wall_ms() // 1000), b"\r\n"))


@lru_cache(maxsize=1)
def _date_line(second: int) -> bytes:
    return f"date: {formatdate(second, usegmt=True)}\r\n".encode()
