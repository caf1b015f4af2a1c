"""Mails to a real SMTP server, with and without TLS, and one that refuses."""

import ssl
from datetime import UTC, datetime
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import structlog
from aiosmtpd.smtp import AuthResult, LoginPassword

from accounts.notices.mail import Templates
from accounts.notices.signing import Event
from accounts.notices.smtp import MailSender
from accounts.notices.worker import Undelivered
from proxy.process.starting import free_port
from runtime.settings import Smtp
from tests.support.mail_server import Mailbox, mail_server

EVENT = Event(
    UUID(int=7),
    "key.revoked",
    UUID(int=8),
    {"key_prefix": "pp_live-AbCdEfG", "name": "Gerät"},
    datetime(2026, 11, 22, tzinfo=UTC),
)
TEMPLATES = Templates(None, "Shop", None)
PASSWORD = "correct horse"


def sender(
    port: int, *, address: str | None = "ann@example.com", context: ssl.SSLContext | None = None, **fields: Any
) -> MailSender:
    settings = {"host": "127.0.0.1", "port": port, "from": "Söhne <billing@example.com>", "tls": "none"} | fields

    async def addresses(_: Event) -> str | None:
        return address

    return MailSender(Smtp.model_validate(settings), TEMPLATES, addresses, tls=context)


async def reason(sending: MailSender, event: Event = EVENT) -> tuple[str, bool]:
    with pytest.raises(Undelivered) as caught:
        await sending.send(event)
    return caught.value.reason, caught.value.is_final


async def test_a_mail_arrives_as_it_was_written_and_the_same_twice() -> None:
    mailbox = Mailbox()
    async with mail_server(mailbox) as port:
        await sender(port).send(EVENT)
        await sender(port).send(EVENT)
    first, second = mailbox.taken
    assert first == second and first[:2] == ("billing@example.com", ["ann@example.com"])
    message: Any = message_from_bytes(first[2], policy=policy.SMTP)
    assert message["Message-ID"] == f"<{EVENT.id}@example.com>"
    assert message["From"].addresses[0].display_name == "Söhne"
    assert ["Gerät" in part.get_content() for part in message.iter_parts()] == [True, True]


def server_context(certificate: tuple[Path, Path]) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*certificate)
    return context


def authenticator(server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
    return AuthResult(success=data == LoginPassword(b"me", PASSWORD.encode()), handled=False)


async def test_starttls_and_a_login(certificate: tuple[Path, Path]) -> None:
    mailbox, known = Mailbox(), ssl.create_default_context(cafile=certificate[0])
    how: dict[str, Any] = {
        "tls_context": server_context(certificate),
        "require_starttls": True,
        "authenticator": authenticator,
        "auth_required": True,
    }
    login: dict[str, Any] = {"tls": "starttls", "username": "me", "password": PASSWORD}
    async with mail_server(mailbox, **how) as port:
        await sender(port, context=known, **login).send(EVENT)
        assert await reason(sender(port, context=known, **login | {"password": "wrong"})) == ("smtp_535", False)
        assert await reason(sender(port, context=known, tls="starttls")) == ("smtp_530", False)
        assert await reason(sender(port)) == ("smtp_530", False)
        # of no authority that is known here
        assert await reason(sender(port, **login)) == ("tls", False)
    assert [taken[3] for taken in mailbox.taken] == [True]


async def test_tls_from_the_first_byte(certificate: tuple[Path, Path]) -> None:
    mailbox, known = Mailbox(), ssl.create_default_context(cafile=certificate[0])
    async with mail_server(mailbox, tls=server_context(certificate)) as port:
        await sender(port, context=known, tls="tls").send(EVENT)
        assert await reason(sender(port, tls="tls")) == ("connect", False)
    assert len(mailbox.taken) == 1


async def test_a_server_that_takes_the_offer_of_tls_out_is_told_nothing() -> None:
    mailbox = Mailbox()
    async with mail_server(mailbox) as port:
        found, is_final = await reason(sender(port, tls="starttls", username="me", password=PASSWORD))
    assert (found, is_final) == ("smtp_failed", False)
    assert mailbox.taken == []


@pytest.mark.parametrize(
    ("command", "says", "expected"),
    [
        ("RCPT", "550 no such user", ("smtp_550", True)),
        ("RCPT", "450 greylisted", ("smtp_450", False)),
        ("MAIL", "553 not from there", ("smtp_553", True)),
        ("DATA", "554 spam", ("smtp_554", True)),
        ("DATA", "452 disk full", ("smtp_452", False)),
    ],
)
async def test_refusals(command: str, says: str, expected: tuple[str, bool]) -> None:
    mailbox = Mailbox()
    mailbox.says[command] = says
    async with mail_server(mailbox) as port:
        assert await reason(sender(port)) == expected
    assert mailbox.taken == []


async def test_one_that_hangs_is_left() -> None:
    mailbox = Mailbox()
    mailbox.says["DATA"] = "hang"
    async with mail_server(mailbox) as port:
        assert await reason(sender(port, timeout_s=0.3)) == ("timeout", False)


async def test_nobody_there() -> None:
    assert await reason(sender(free_port("127.0.0.1"))) == ("connect", False)


async def test_whoever_has_no_address_any_more_gets_nothing() -> None:
    assert await reason(sender(free_port("127.0.0.1"), address=None)) == ("no_address", True)


async def test_what_cannot_be_written_is_given_up_and_its_facts_stay_out_of_the_log(
    capsys: pytest.CaptureFixture[str],
) -> None:
    broken = Event(EVENT.id, "balance.low", EVENT.user_id, {"balance": "not money"}, EVENT.created_at)
    with structlog.testing.capture_logs() as logged:
        assert await reason(sender(free_port("127.0.0.1")), broken) == ("not_composed", True)
    assert [line["event"] for line in logged] == ["mail_not_composed"]
    assert "not money" not in str(logged) + str(capsys.readouterr()) and "ann@" not in str(logged)
