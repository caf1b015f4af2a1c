"""Bodies that were packed: unpacked, measured, or refused."""

import gzip
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.http.encoding import is_packed, unpack
from runtime.http.errors import BodyBroken, BodyTooLarge

TEXT = b"hello " * 100


def raw_deflate(data: bytes) -> bytes:
    deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return deflater.compress(data) + deflater.flush()


@pytest.mark.parametrize(("coding", "is_one"), [("", False), ("Identity ", False), ("gzip", True)])
def test_what_is_packed(coding: str, is_one: bool) -> None:
    assert is_packed(coding) is is_one


@given(st.binary(max_size=2000))
def test_each_coding_is_undone(data: bytes) -> None:
    assert unpack(gzip.compress(data), "gzip", 2000) == data
    assert unpack(gzip.compress(data), " X-GZIP ", 2000) == data
    assert unpack(zlib.compress(data), "deflate", 2000) == data
    assert unpack(raw_deflate(data), "deflate", 2000) == data


@pytest.mark.parametrize("coding", ["br", "zstd", "compress", "gzip, gzip", "chunked"])
def test_a_coding_that_we_do_not_know(coding: str) -> None:
    with pytest.raises(BodyBroken):
        unpack(TEXT, coding, 1000)


@pytest.mark.parametrize(
    "packed",
    [b"", b"no gzip at all", gzip.compress(TEXT)[:-1], gzip.compress(TEXT)[:20], gzip.compress(TEXT) * 2],
    ids=["nothing", "text", "no end", "cut", "twice"],
)
def test_what_is_not_in_its_coding(packed: bytes) -> None:
    with pytest.raises(BodyBroken):
        unpack(packed, "gzip", 10_000)


def test_the_limit_is_of_what_is_unpacked() -> None:
    assert unpack(gzip.compress(TEXT), "gzip", len(TEXT)) == TEXT
    with pytest.raises(BodyTooLarge):
        unpack(gzip.compress(TEXT), "gzip", len(TEXT) - 1)
    with pytest.raises(BodyTooLarge):
        unpack(gzip.compress(b"x" * 1_000_000), "gzip", 10)
