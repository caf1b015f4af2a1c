"""Where an event ends in a stream of bytes: server-sent events, or a JSON text on each line."""

from collections.abc import Callable
from dataclasses import dataclass

from metering import sse

Split = Callable[[bytes], tuple[list[bytes], bytes]]


@dataclass(frozen=True, slots=True)
class Framing:
    """`split` cuts a buffer into complete events and the rest; `data_of` is an event's JSON; `end` ends most events."""

    split: Split
    data_of: Callable[[bytes], bytes]
    end: bytes
    line_ends: bytes


def split_lines(buffer: bytes) -> tuple[list[bytes], bytes]:
    """Complete lines, each with its LF, and the rest."""
    whole, newline, rest = buffer.rpartition(b"\n")
    return [line + b"\n" for line in whole.split(b"\n")] if newline else [], rest


SSE = Framing(sse.split_events, sse.data_of, b"\n\n", b"\r\n")
NDJSON = Framing(split_lines, bytes.strip, b"\n", b"")


def framing_of(content_type: bytes) -> Framing | None:
    """None: what has this type is no stream of events."""
    kind = content_type.partition(b";")[0].strip().lower()
    if kind == b"text/event-stream":
        return SSE
    return NDJSON if kind in (b"application/x-ndjson", b"application/jsonl", b"application/ndjson") else None
