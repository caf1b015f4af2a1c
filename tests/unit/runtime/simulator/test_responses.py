import pytest

from runtime.simulator import responses


@pytest.mark.parametrize(("status", "line"), [(200, b"200 OK"), (429, b"429 Too Many Requests"), (599, b"599 Unknown")])
def test_every_status_has_a_line(status: int, line: bytes) -> None:
    assert responses.status_line(status) == b"HTTP/1.1 " + line + b"\r\n"


def test_a_whole_answer_says_how_long_it_is_and_whether_it_closes() -> None:
    assert responses.whole(200, b"{}") == (
        b"HTTP/1.1 200 OK\r\nserver: farebox-simulator\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}"
    )
    assert b"\r\nconnection: close\r\n" in responses.whole(200, b"{}", close=True)
    assert b"\r\nretry-after: 1\r\n\r\n" in responses.whole(429, b"{}", extra=b"retry-after: 1\r\n")


def test_without_a_length_an_answer_is_chunked() -> None:
    head = responses.headers(responses.EVENT_STREAM, None)
    assert b"transfer-encoding: chunked" in head
    assert b"content-length" not in head


def test_a_frame_carries_its_length_in_hexadecimal() -> None:
    assert responses.frame(b"x" * 26) == b"1a\r\n" + b"x" * 26 + b"\r\n"


def test_no_padding_is_no_header() -> None:
    assert responses.padding(0) == b""
    assert responses.padding(2) == b"x-padding: pp\r\n"
