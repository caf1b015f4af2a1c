"""Where an event ends in a stream of bytes: server-sent events, or a JSON text on each line."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

from metering import sse

# Where events end in a buffer, of which so many bytes were searched before.
Ends = Callable[[bytes | bytearray, int], list[int]]

_NEWLINE = re.compile(rb"\n")


@dataclass(frozen=True, slots=True)
class Framing:
    """`data_of` is an event's JSON; `end` ends most events; `line_ends`: bytes that may begin the end of one."""

    ends: Ends
    data_of: Callable[[bytes], bytes]
    end: bytes
    line_ends: bytes

    def split(self, buffer: bytes) -> tuple[list[bytes], bytes]:
        """Complete events, each with what ends it, and the rest, which is not yet a whole event."""
        ends = self.ends(buffer, 0)
        return cut(buffer, ends), buffer[ends[-1] :] if ends else buffer

    def take(self, rest: bytearray, data: bytes) -> tuple[bytes, list[int]]:
        """The events that end with this data, joined, and where each does; `rest` is then what has not ended.

        However small the pieces in which an event comes, each byte is searched and copied a few times only: a `rest`
        that was taken from before is not searched again.
        """
        searched = len(rest)
        rest += data
        ends = self.ends(rest, searched)
        if not ends:
            return b"", ends
        whole = bytes(rest[: ends[-1]])
        del rest[: ends[-1]]
        return whole, ends


def cut(whole: bytes, ends: list[int]) -> list[bytes]:
    """The events of `whole`, by where they end in it."""
    return [whole[start:end] for start, end in pairwise([0, *ends])]


def line_ends_in(buffer: bytes | bytearray, searched: int = 0) -> list[int]:
    """Where a line has ended, after its LF."""
    return [match.end() for match in _NEWLINE.finditer(buffer, searched)]


SSE = Framing(sse.event_ends, sse.data_of, b"\n\n", b"\r\n")
NDJSON = Framing(line_ends_in, bytes.strip, b"\n", b"")


def framing_of(content_type: bytes) -> Framing | None:
    """None: what has this type is no stream of events."""
    kind = content_type.partition(b";")[0].strip().lower()
    if kind == b"text/event-stream":
        return SSE
    return NDJSON if kind in (b"application/x-ndjson", b"application/jsonl", b"application/ndjson") else None
