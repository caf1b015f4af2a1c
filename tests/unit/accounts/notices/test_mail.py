"""Mails from templates: escaped, whole, and the same at every attempt."""

from collections.abc import Mapping
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any
from uuid import UUID

import jinja2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts.notices.mail import Templates, compose, dollars, one_line
from accounts.notices.signing import Event
from runtime.settings.notices import EVENT_KINDS

FACTS: Mapping[str, Mapping[str, Any]] = {
    "balance.low": {"wallet_id": "w", "balance": "1.5", "threshold": "5", "currency": "USD"},
    "balance.empty": {"wallet_id": "w", "balance": "-0.000000001", "threshold": "5", "currency": "USD"},
    "topup.succeeded": {"amount": "25", "balance": "1026.5", "source": "auto_topup"},
    "topup.failed": {"amount": "25", "source": "checkout", "reason": "payment_failed"},
    "key.revoked": {"key_id": "k", "key_prefix": "pp_live-AbCdEfG", "name": "laptop"},
}
OURS = Templates(None, "Söhne & Co", "https://example.com/billing?a=1&b=2")
SENDER = "Söhne & Co <billing@example.com>"


def event(kind: str = "key.revoked", **facts: Any) -> Event:
    return Event(UUID(int=5), kind, UUID(int=6), {**FACTS[kind], **facts}, datetime(2026, 11, 22, 10, tzinfo=UTC))


def sent(kind: str = "key.revoked", **facts: Any) -> EmailMessage:
    """As a receiver's program reads it."""
    parsed = message_from_bytes(
        bytes(compose(event(kind, **facts), SENDER, "ann@example.com", OURS)), policy=policy.SMTP
    )
    assert isinstance(parsed, EmailMessage)
    return parsed


def parts(message: EmailMessage) -> tuple[str, str]:
    text, html = message.iter_parts()
    return text.get_content(), html.get_content()


@pytest.mark.parametrize("kind", EVENT_KINDS)
def test_every_kind_has_a_subject_a_text_and_a_page(kind: str) -> None:
    message = sent(kind)
    text, html = parts(message)
    assert message["Subject"] and "{" not in message["Subject"] + text + html
    assert message.get_content_type() == "multipart/alternative"
    assert "Söhne & Co" in text and "Söhne &amp; Co" in html
    assert "<" not in text and html.startswith("<!doctype html>") and html.rstrip().endswith("</html>")
    assert "22 November 2026, 10:00 UTC" in text


def test_the_headers() -> None:
    message = sent()
    assert message["From"].addresses[0].display_name == "Söhne & Co"
    assert message["From"].addresses[0].addr_spec == "billing@example.com"
    assert message["To"] == "ann@example.com"
    assert message["Message-ID"] == "<00000000-0000-0000-0000-000000000005@example.com>"
    assert message["Date"].datetime == event().created_at
    assert message["Auto-Submitted"] == "auto-generated"


def test_what_is_sent_is_seven_bits_and_the_same_every_time() -> None:
    first, second = (bytes(compose(event(), SENDER, "ann@example.com", OURS)) for _ in range(2))
    assert first == second and first.isascii()
    assert max(map(len, first.split(b"\r\n"))) < 998


def test_facts_are_escaped_in_the_page_and_not_in_the_text() -> None:
    text, html = parts(sent(name="<img src=x>"))
    assert "<img src=x>" in text and "<img" not in html and "&lt;img src=x&gt;" in html


def test_a_link_only_where_there_is_a_site() -> None:
    assert 'href="https://example.com/billing?a=1&amp;b=2"' in parts(sent("balance.low"))[1]
    without = Templates(None, "S", None)
    _, text, html = without.render(event("balance.low"))
    assert "href" not in html and "Top up:" not in text


@given(st.text(max_size=60))
def test_nothing_in_a_fact_gets_into_the_headers(name: str) -> None:
    names = set(sent().keys())
    message = sent(name=name.replace("\x00", "").encode(errors="replace").decode())
    assert set(message.keys()) == names
    assert len(list(message.iter_parts())) == 2


def test_a_template_of_an_operators_own_comes_first_and_cannot_break_the_headers(tmp_path: Path) -> None:
    (tmp_path / "key.revoked.txt").write_text("Subject: {{ facts.name }} gone\nBye, {{ site_name }}\n")
    templates = Templates(tmp_path, "Shop", None)
    message = compose(event(name="laptop\r\nBcc: eve@example.com"), SENDER, "ann@example.com", templates)
    assert message["Subject"] == "laptop Bcc: eve@example.com gone" and message["Bcc"] is None
    assert parts(message)[0] == "Bye, Shop\n"
    assert "An API key was revoked" in parts(message)[1]


def test_a_template_that_is_none_is_found_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "key.revoked.html").write_text("{% if %}")
    with pytest.raises(jinja2.TemplateSyntaxError):
        Templates(tmp_path, "Shop", None)


def test_a_fact_that_is_not_there_is_not_left_blank() -> None:
    missing = Event(UUID(int=5), "balance.low", UUID(int=6), {}, event().created_at)
    with pytest.raises(jinja2.UndefinedError):
        OURS.render(missing)


@pytest.mark.parametrize(
    ("amount", "shown"),
    [
        ("0", "$0.00"),
        ("5", "$5.00"),
        ("12.5", "$12.50"),
        ("1234567.89", "$1,234,567.89"),
        ("0.000000001", "$0.000000001"),
        ("1.230", "$1.23"),
        ("1.2345", "$1.2345"),
        ("-3.5", "-$3.50"),
    ],
)
def test_dollars(amount: str, shown: str) -> None:
    assert dollars(amount) == shown


def test_one_line_is_one_line() -> None:
    assert one_line(" a\r\n b\x00\u2028c\u202e ") == "a b c"
    assert len(one_line("x" * 1000)) == 150
