import pytest

from proxy.upstream.rest import MOST_MS, UNSAID_MS, rest_ms


@pytest.mark.parametrize(
    ("headers", "found"),
    [
        ([], UNSAID_MS),
        ([(b"retry-after", b"7")], 7_000),
        ([(b"retry-after", b"0")], 0),
        ([(b"retry-after-ms", b"250")], 250),
        ([(b"retry-after", b"2"), (b"retry-after-ms", b"1500")], 2_000),
        ([(b"retry-after", b"61")], MOST_MS),
        ([(b"retry-after", b"9" * 9)], MOST_MS),
        ([(b"retry-after", b"9" * 5000)], UNSAID_MS),
        ([(b"retry-after", b"-1")], UNSAID_MS),
        ([(b"retry-after", b"1.5")], UNSAID_MS),
        ([(b"retry-after", b"")], UNSAID_MS),
        ([(b"retry-after", b"Wed, 21 Oct 2026 07:28:00 GMT")], UNSAID_MS),
        ([(b"date", b"5")], UNSAID_MS),
    ],
)
def test_what_a_server_says_is_what_it_gets_up_to_a_minute(headers: list[tuple[bytes, bytes]], found: int) -> None:
    assert rest_ms(headers) == found
