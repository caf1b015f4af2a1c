"""Records in a file that is only ever appended to, each with checksums: which are whole, torn off, damaged.

    marker 4 bytes · length 4 · CRC-32 of the content 4 · CRC-32 of offset, length and that 4 · content

The header has a checksum of its own, so that a record whose writing was cut short (nobody was told that it is safe)
is told from one that was damaged later. A header counts for its place in the file only: bytes that look like a
record, within the content of another, are not taken for one.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from zlib import crc32

MARKER = b"\xfbFB\xf1"
_HEADER = struct.Struct(">4sIII")
_SEALED = struct.Struct(">QII")
HEADER_BYTES = _HEADER.size
# A usage entry has about a kilobyte. A length beyond this is damage, not a record.
MAX_RECORD_BYTES = 1 << 20


class RecordTooLarge(ValueError):
    """More than MAX_RECORD_BYTES."""


@dataclass(slots=True)
class Scan:
    """What stands in a file: its whole records in order, the places (from, to) that are damaged, the torn end."""

    records: list[bytes] = field(default_factory=list)
    damaged: list[tuple[int, int]] = field(default_factory=list)
    torn_bytes: int = 0


def frame(content: bytes, offset: int) -> bytes:
    """The record as it is written at `offset` of its file. Raises RecordTooLarge."""
    if len(content) > MAX_RECORD_BYTES:
        raise RecordTooLarge(len(content))
    return _header(content, offset) + content


def frames(contents: Sequence[bytes], offset: int) -> bytes:
    """Several, one after the other from `offset` on."""
    parts = []
    for content in contents:
        parts.append(frame(content, offset))
        offset += len(parts[-1])
    return b"".join(parts)


def scan(data: bytes) -> Scan:
    """Reads a whole file. After damage it goes on at the next place where a header is right."""
    found, at = Scan(), 0
    while at < len(data):
        content = _record_at(data, at)
        if content is not None:
            found.records.append(content)
            at += HEADER_BYTES + len(content)
        elif _is_torn(data, at):
            found.torn_bytes = len(data) - at
            break
        else:
            following = _next_header(data, at + 1)
            found.damaged.append((at, following))
            at = following
    return found


def _header(content: bytes, offset: int) -> bytes:
    length, content_crc = len(content), crc32(content)
    return _HEADER.pack(MARKER, length, content_crc, crc32(_SEALED.pack(offset, length, content_crc)))


def _length_at(data: bytes, at: int) -> int | None:
    """What the header at `at` says; None: there is no right header."""
    if len(data) - at < HEADER_BYTES:
        return None
    marker, length, content_crc, crc = _HEADER.unpack_from(data, at)
    is_right = marker == MARKER and length <= MAX_RECORD_BYTES and crc == crc32(_SEALED.pack(at, length, content_crc))
    return length if is_right else None


def _record_at(data: bytes, at: int) -> bytes | None:
    length = _length_at(data, at)
    if length is None:
        return None
    begin = at + HEADER_BYTES
    content = data[begin : begin + length]
    return content if len(content) == length and _header(content, at) == data[at:begin] else None


def _is_torn(data: bytes, at: int) -> bool:
    """The file ends within what a writer had begun, or in zeros: room that was made for a write that never came."""
    length = _length_at(data, at)
    if length is not None:
        return at + HEADER_BYTES + length > len(data)
    rest = data[at:]
    is_begun = len(rest) < HEADER_BYTES and rest[: len(MARKER)] == MARKER[: len(rest)]
    return is_begun or not rest.strip(b"\0")


def _next_header(data: bytes, at: int) -> int:
    while (at := data.find(MARKER, at)) >= 0:
        if _length_at(data, at) is not None:
            return at
        at += 1
    return len(data)
