"""What it costs to read an event that comes byte by byte: counted in bytes looked at and bytes copied, not in time.

Sixty-four KiB that were searched again with each byte would be two thousand million bytes.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import SupportsIndex

import pytest

from metering import framing as framing_module
from metering import sse
from metering.formats import chat, responses
from metering.formats.format import WireFormat
from metering.framing import NDJSON, SSE, Framing
from metering.injection import Removal
from metering.progress import Progress
from metering.tap import MAX_EVENT_BYTES, StreamTap

# The tap's own search sees the two bytes before each again, which may begin a blank line; the texts' sees each once.
MOST_LOOKS = 5
MOST_COPIES = 4
ASK_EVERY = 1024


@dataclass
class CountingPattern:
    """A pattern that knows how many bytes it was asked to look at."""

    real: re.Pattern[bytes]
    looked_at: int = 0

    def finditer(self, buffer: bytes | bytearray, start: int = 0) -> Iterator[re.Match[bytes]]:
        self.looked_at += len(buffer) - start
        return self.real.finditer(buffer, start)


class CountingBuffer(bytearray):
    """A buffer that knows how many of its bytes were copied out of it or moved within it; adding to it is free."""

    copied = 0

    def __getitem__(self, key: SupportsIndex | slice) -> bytearray:  # type: ignore[override]
        found = super().__getitem__(key)
        assert isinstance(found, bytearray)
        self.copied += len(found)
        return found

    def __delitem__(self, key: SupportsIndex | slice) -> None:
        super().__delitem__(key)
        self.copied += len(self)

    def __bytes__(self) -> bytes:
        self.copied += len(self)
        return bytes(memoryview(self))

    def __add__(self, other: object) -> bytearray:
        self.copied += len(self)
        return bytearray(self) + other  # type: ignore[operator]

    def rstrip(self, chars: object = None) -> bytearray:
        self.copied += len(self)
        return super().rstrip(chars)  # type: ignore[arg-type]


@dataclass
class Watched:
    """A tap whose work is counted. The buffers stay the same objects: one that grew by being made anew would not."""

    tap: StreamTap
    buffers: tuple[CountingBuffer, CountingBuffer, CountingBuffer]

    def copied(self) -> int:
        tap, keeper = self.tap, self.tap._keeper
        assert keeper is not None
        assert (tap._rest, tap._oversize_tail, keeper._rest) == self.buffers
        held = (tap._rest, tap._oversize_tail, keeper._rest)
        assert all(ours is theirs for ours, theirs in zip(self.buffers, held, strict=True))
        return sum(buffer.copied for buffer in self.buffers)


def watched(wire: WireFormat, framing: Framing, removal: Removal) -> Watched:
    tap = StreamTap(wire, framing, removal, keeps_text=True)
    assert tap._keeper is not None
    rest, tail, keepers = (CountingBuffer() for _ in range(3))
    tap._rest, tap._oversize_tail, tap._keeper._rest = rest, tail, keepers
    return Watched(tap, (rest, tail, keepers))


@pytest.fixture
def patterns(monkeypatch: pytest.MonkeyPatch) -> tuple[CountingPattern, CountingPattern]:
    found = CountingPattern(sse._EVENT_END), CountingPattern(framing_module._NEWLINE)
    monkeypatch.setattr(sse, "_EVENT_END", found[0])
    monkeypatch.setattr(framing_module, "_NEWLINE", found[1])
    return found


CHAT = b'{"choices":[],"x":"%b","usage":null}'
LAST_OF_RESPONSES = b'{"type":"response.completed","x":"%b","response":{"usage":{"output_tokens":4}}}'


@pytest.mark.parametrize(
    ("wire", "removal", "json", "size"),
    [
        (chat.FORMAT, Removal(nulls=True), CHAT, 60 << 10),
        (responses.FORMAT, Removal(), LAST_OF_RESPONSES, MAX_EVENT_BYTES + (90 << 10)),
    ],
    ids=["read", "too long to be read"],
)
@pytest.mark.parametrize(
    ("framing", "line_end"),
    [(SSE, b"\n"), (SSE, b"\r\n"), (SSE, b"\r"), (NDJSON, b"\n")],
    ids=["lf", "crlf", "cr", "ndjson"],
)
def test_each_byte_is_looked_at_and_copied_a_few_times(
    patterns: tuple[CountingPattern, CountingPattern],
    framing: Framing,
    line_end: bytes,
    wire: WireFormat,
    removal: Removal,
    json: bytes,
    size: int,
) -> None:
    start, end = (b"data: ", line_end * 2) if framing is SSE else (b"", line_end)
    event = start + json % (b"x" * size) + end
    sent = event + b":"  # only the next byte tells that a CR is no half of a CRLF
    watch, passed = watched(wire, framing, removal), bytearray()
    for at in range(len(sent)):
        passed += watch.tap.feed(sent[at : at + 1])
        if at % ASK_EVERY == 0:
            assert watch.tap.progress().pieces == 0
    assert passed == (event.replace(b',"usage":null', b"") if removal else sent)
    assert len(sent) <= patterns[0].looked_at + patterns[1].looked_at <= MOST_LOOKS * len(sent)
    assert watch.tap.reading.completion == (None if removal else 4)
    assert len(event) <= watch.copied() <= MOST_COPIES * len(sent)


def test_many_events_and_as_many_questions_cost_no_more_than_the_events(
    patterns: tuple[CountingPattern, CountingPattern],
) -> None:
    """A look reads what is new: asked after every chunk, it comes to a few readings of the stream."""
    event = b'data: {"created":%04d,"choices":[{"index":0,"delta":{"content":"word"}}]}\n\n'
    watch, size = watched(chat.FORMAT, SSE, Removal()), 1000 * len(event % 1)
    for told in range(1, 1001):
        sent = event % told
        watch.tap.feed(sent[:40])
        watch.tap.feed(sent[40:])
        assert watch.tap.progress() == Progress(pieces=told, text_bytes=4 * told)
    assert size <= patterns[0].looked_at <= MOST_LOOKS * size
    assert size <= watch.copied() <= MOST_COPIES * size


def test_of_events_that_come_whole_the_ends_are_not_searched_for(
    patterns: tuple[CountingPattern, CountingPattern],
) -> None:
    event = b'data: {"created":%04d,"choices":[{"index":0,"delta":{"content":"word"}}]}\n\n'
    watch = watched(chat.FORMAT, SSE, Removal())
    for told in range(1, 1001):
        watch.tap.feed(event % told)
        assert watch.tap.progress() == Progress(pieces=told, text_bytes=4 * told)
    assert (patterns[0].looked_at, watch.copied()) == (0, 0)
