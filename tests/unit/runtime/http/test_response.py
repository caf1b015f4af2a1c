"""The bytes of an answer."""

from email.utils import parsedate_to_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.clock import wall_ms
from runtime.http.response import Response, head_bytes

CLOSE = b"connection: close\r\n"


def lines_of(raw: bytes) -> tuple[list[bytes], bytes]:
    """Head lines but for the date, and what follows."""
    head, _, body = raw.partition(b"\r\n\r\n")
    return [line for line in head.split(b"\r\n") if not line.startswith(b"date: ")], body


def test_a_whole_answer() -> None:
    raw = Response(200, [("content-type", "text/plain"), ("x-a", "ü")], b"hello").to_bytes(CLOSE)
    assert lines_of(raw) == (
        [b"HTTP/1.1 200 OK", b"content-type: text/plain", "x-a: ü".encode(), b"content-length: 5", CLOSE.strip()],
        b"hello",
    )


def test_to_head_the_length_is_told_and_nothing_sent() -> None:
    assert lines_of(Response(200, [], b"hello").to_bytes(b"", is_head=True)) == (
        [b"HTTP/1.1 200 OK", b"content-length: 5"],
        b"",
    )


@pytest.mark.parametrize("status", [204, 304])
def test_an_answer_that_has_no_body_says_nothing_of_its_length(status: int) -> None:
    lines, body = lines_of(Response(status, [], b"x").to_bytes(b""))
    assert len(lines) == 1 and body == b""


def test_a_status_that_nobody_has_named() -> None:
    assert head_bytes(499, [], b"").startswith(b"HTTP/1.1 499 \r\ndate: ")


def test_the_date_is_now_and_the_server_is_not_told() -> None:
    raw = head_bytes(200, [], b"")
    (date,) = [line for line in raw.split(b"\r\n") if line.startswith(b"date: ")]
    told = parsedate_to_datetime(date.decode().removeprefix("date: ")).timestamp()
    assert abs(told - wall_ms() / 1000) < 60 and date.endswith(b" GMT")
    assert b"server" not in raw.lower()


@given(st.sampled_from(["a\r\nx-evil: 1", "a\nb", "a\rb", "a\x00b", "\r\n", "\n"]), st.booleans())
def test_no_header_can_begin_another(value: str, is_name: bool) -> None:
    header = (value, "1") if is_name else ("x-a", value)
    with pytest.raises(ValueError, match="line break"):
        head_bytes(200, [("x-b", "2"), header], b"")


def test_half_a_character_is_not_sent() -> None:
    with pytest.raises(ValueError, match="surrogates"):
        head_bytes(200, [("x-a", "\ud800")], b"")
