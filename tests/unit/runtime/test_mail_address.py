"""Addresses that can stand in a header as they are."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.mail_address import MAX_ADDRESS_CHARS, is_mail_address, split_sender


@pytest.mark.parametrize(
    "text", ["a@b.de", "ann.lee+bills@mail.example.com", "o'hara_x@sub-1.example.org", "a" * 64 + "@example.com"]
)
def test_addresses(text: str) -> None:
    assert is_mail_address(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ann",
        "ann@localhost",
        "@example.com",
        "ann@",
        "ann@example..com",
        ".ann@example.com",
        "ann.@example.com",
        "a..b@example.com",
        "ann@-example.com",
        "ann@example-.com",
        "ann@example.com\n",
        "ann@example.com\r\nBcc: eve@example.com",
        "ann@example.com, eve@example.com",
        "Ann <ann@example.com>",
        '"a b"@example.com',
        "ann@[127.0.0.1]",
        "änn@example.com",
        "ann@exämple.com",
        "a" * 65 + "@example.com",
        "a@" + "b" * 64 + ".com",
        "a@" + "b.c" * 100,
    ],
)
def test_what_is_none(text: str) -> None:
    assert not is_mail_address(text)


@given(st.text(max_size=300))
def test_whatever_passes_is_short_ascii_on_one_line_with_one_at(text: str) -> None:
    if is_mail_address(text):
        assert len(text) <= MAX_ADDRESS_CHARS and text.isascii() and text.isprintable()
        assert text.count("@") == 1 and not set(text) & set(' <>,;:"()[]\\')


def test_senders() -> None:
    assert split_sender("billing@example.com") == ("", "billing@example.com")
    assert split_sender("Söhne & Co. <billing@example.com>") == ("Söhne & Co.", "billing@example.com")


@pytest.mark.parametrize(
    "text",
    [
        "Ann",
        "<billing@example.com>",
        "A\r\nBcc: x@example.com <billing@example.com>",
        "A\n<billing@example.com>",
        "a@example.com, b@example.com",
        "A <a@example.com> <b@example.com>",
        'A" <billing@example.com>',
    ],
)
def test_what_is_no_sender(text: str) -> None:
    with pytest.raises(ValueError, match="must be an address"):
        split_sender(text)
