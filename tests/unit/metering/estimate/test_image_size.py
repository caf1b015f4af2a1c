"""A picture's size as decoders see it, or unknown."""

import base64
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering.estimate.image_size import size_of


def png(width: int, height: int) -> bytes:
    return b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + struct.pack(">II", width, height) + b"\x08\x06\0\0\0"


def frame(width: int, height: int, marker: int = 0xC0) -> bytes:
    return bytes((0xFF, marker)) + b"\0\x11\x08" + struct.pack(">HH", height, width) + b"\x03" + b"\0" * 9


def segment(marker: int, content: bytes) -> bytes:
    return bytes((0xFF, marker)) + struct.pack(">H", len(content) + 2) + content


JPEG = b"\xff\xd8"
GIF = b"GIF89a" + struct.pack("<HH", 30, 40) + b"\0\0\0"
VP8 = b"RIFF\0\0\0\0WEBPVP8 \0\0\0\0\0\0\0\x9d\x01\x2a" + struct.pack("<HH", 100 | 1 << 14, 50)
VP8L = b"RIFF\0\0\0\0WEBPVP8L\0\0\0\0\x2f" + (99 | 49 << 14).to_bytes(4, "little") + b"\0" * 8
VP8X = b"RIFF\0\0\0\0WEBPVP8X\0\0\0\0\0\0\0\0" + (99).to_bytes(3, "little") + (49).to_bytes(3, "little")


@pytest.mark.parametrize(
    ("raw", "size"),
    [
        (png(640, 480), (640, 480)),
        (GIF, (30, 40)),
        (VP8, (100, 50)),
        (VP8L, (100, 50)),
        (VP8X, (100, 50)),
        (JPEG + frame(640, 480), (640, 480)),
        (JPEG + segment(0xE0, b"JFIF") + segment(0xDB, b"\0" * 65) + frame(640, 480, 0xC2), (640, 480)),
        (JPEG + segment(0xC4, b"\0" * 20) + frame(640, 480), (640, 480)),
        # a preview, in a segment of its own
        (JPEG + segment(0xE1, b"Exif\0\0" + JPEG + frame(16, 16) + b"\0" * 40_000) + frame(640, 480), (640, 480)),
        # fill bytes before a marker, and one without a length
        (JPEG + b"\xff\xff\xff\xe0\0\4ab\xff\x01" + frame(640, 480), (640, 480)),
    ],
)
def test_the_size_stands_in_the_header(raw: bytes, size: tuple[int, int]) -> None:
    encoded = base64.b64encode(raw + b"\0" * 100).decode()
    for source in (raw, encoded, "data:image/any;base64," + encoded):
        assert size_of(source) == size


@pytest.mark.parametrize(
    "raw",
    [
        *(b"", b"BM" + b"\0" * 60, png(0, 10), png(70_000, 10), png(640, 480).replace(b"IHDR", b"IDAT")),
        *(JPEG, JPEG + b"\xff\xe0\0\0" + frame(1, 1), JPEG + segment(0xE0, b"ab") + b"x" + frame(1, 1)),
        *(VP8.replace(b"\x2a", b"\x2b"), VP8L.replace(b"\x2f", b"\x30"), VP8.replace(b"VP8 ", b"VP9 ")),
    ],
)
def test_where_it_does_not_it_is_unknown(raw: bytes) -> None:
    assert size_of(raw) is None
    assert size_of(base64.b64encode(raw + b"\0" * 30).decode()) is None


@pytest.mark.parametrize(
    "source",
    [
        *("https://example.com/a.png", "http://x", "file:///etc/passwd", "", "data:image/png;base64", "data:,", "%%%%"),
        "data:image/png;" + "x=" * 200 + "base64," + base64.b64encode(png(1, 1)).decode(),
        # what a lenient decoder might read otherwise
        " " + base64.b64encode(png(1, 1)).decode(),
    ],
)
def test_of_what_is_elsewhere_or_unclear_too(source: str) -> None:
    assert size_of(source) is None


@given(st.one_of(st.text(max_size=60), st.binary(max_size=60), st.binary(max_size=60).map(lambda raw: JPEG + raw)))
def test_nothing_breaks_it(source: str | bytes) -> None:
    size = size_of(source)
    assert size is None or min(size) > 0


@given(st.lists(st.binary(max_size=20), max_size=6))
def test_a_jpeg_is_walked_by_its_lengths(contents: list[bytes]) -> None:
    # whatever a segment holds, a frame header too, it is not taken for one
    hidden = b"".join(segment(0xE2, content + frame(1, 1)) for content in contents)
    assert size_of(JPEG + hidden + frame(800, 600)) == (800, 600)
