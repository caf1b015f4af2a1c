"""Width and height of a picture as its own header has them: PNG, GIF, WebP, JPEG. Nothing else of it is read.

A client may write anything there; where a decoder could see another size than we do, it is unknown.
"""

import base64
import binascii
import struct

# Of a data URL: its type and parameters.
_MAX_PREFIX_CHARS = 128
# The size is in the first bytes, but a JPEG may have a preview before it: as far as 48 KiB is looked.
_HEADS_CHARS = (64, 4 << 10, 64 << 10)
_MAX_SIDE = 65_535
# Nothing after this is looked at, in a source that is longer.
HEAD_CHARS = _MAX_PREFIX_CHARS + _HEADS_CHARS[-1]

Size = tuple[int, int]


def size_of(source: str | bytes) -> Size | None:
    """`source`: base64, a data URL, or the first bytes of a file; None where the size cannot be told, as of an
    address.
    """
    if isinstance(source, bytes):
        return _plausible(_read(source))
    at = 0
    if source.startswith("data:"):
        at = source.find(",", 0, _MAX_PREFIX_CHARS) + 1
        if not at:
            return None
    elif "://" in source[:16]:
        return None
    for chars in _HEADS_CHARS:
        found = _read(_decoded(source, at, chars))
        if found is not None:
            return _plausible(found)
        if at + chars >= len(source) or not source.startswith("/9j", at):  # how a JPEG begins
            return None
    return None


def _decoded(source: str, at: int, chars: int) -> bytes:
    head = source[at : at + chars]
    try:
        return base64.b64decode(head[: len(head) // 4 * 4], validate=True)
    except (binascii.Error, ValueError):
        return b""


def _plausible(size: Size | None) -> Size | None:
    return size if size is not None and all(0 < side <= _MAX_SIDE for side in size) else None


def _read(raw: bytes) -> Size | None:
    try:
        return _png(raw) or _gif(raw) or _webp(raw) or _jpeg(raw)
    except struct.error:  # cut short
        return None


def _png(raw: bytes) -> Size | None:
    is_png = raw.startswith(b"\x89PNG\r\n\x1a\n") and raw[12:16] == b"IHDR"
    return struct.unpack(">II", raw[16:24]) if is_png else None


def _gif(raw: bytes) -> Size | None:
    return struct.unpack("<HH", raw[6:10]) if raw[:6] in (b"GIF87a", b"GIF89a") else None


def _webp(raw: bytes) -> Size | None:
    if raw[:4] != b"RIFF" or raw[8:12] != b"WEBP" or len(raw) < 30:
        return None
    match raw[12:16]:
        case b"VP8 " if raw[23:26] == b"\x9d\x01\x2a":
            width, height = struct.unpack("<HH", raw[26:30])
            return width & 0x3FFF, height & 0x3FFF
        case b"VP8L" if raw[20] == 0x2F:
            bits = int.from_bytes(raw[21:25], "little")
            return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
        case b"VP8X":
            return int.from_bytes(raw[24:27], "little") + 1, int.from_bytes(raw[27:30], "little") + 1
        case _:
            return None


def _jpeg(raw: bytes) -> Size | None:
    """Segment by segment to the frame header (SOF0 to SOF15 without DHT, JPG and DAC)."""
    if not raw.startswith(b"\xff\xd8"):
        return None
    at = 2
    while at + 9 <= len(raw) and raw[at] == 0xFF:
        marker = raw[at + 1]
        if marker == 0xFF:  # fill
            at += 1
        elif 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack(">HH", raw[at + 5 : at + 9])
            return width, height
        elif marker == 0x01 or 0xD0 <= marker <= 0xD9:  # without a length
            at += 2
        else:
            length = int.from_bytes(raw[at + 2 : at + 4], "big")
            if length < 2:
                return None
            at += 2 + length
    return None
