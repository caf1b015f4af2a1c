"""Which refusals are for good. Mails to a real server: tests/integration/test_mails.py."""

import ssl

import aiosmtplib
import pytest

from accounts.notices.smtp import judged


def refused(code: int) -> aiosmtplib.SMTPRecipientsRefused:
    return aiosmtplib.SMTPRecipientsRefused(
        [aiosmtplib.SMTPRecipientRefused(code, "ann@example.com?", "ann@example.com")]
    )


@pytest.mark.parametrize(
    ("error", "reason", "is_final"),
    [
        (refused(550), "smtp_550", True),
        (refused(450), "smtp_450", False),
        (aiosmtplib.SMTPDataError(554, "spam from ann@example.com"), "smtp_554", True),
        (aiosmtplib.SMTPDataError(452, "full"), "smtp_452", False),
        (aiosmtplib.SMTPSenderRefused(553, "no", "me@example.com"), "smtp_553", True),
        (aiosmtplib.SMTPSenderRefused(530, "log in first", "me@example.com"), "smtp_530", False),
        (aiosmtplib.SMTPAuthenticationError(535, "wrong password"), "smtp_535", False),
        (aiosmtplib.SMTPHeloError(521, "closed"), "smtp_521", False),
        (aiosmtplib.SMTPException("no starttls"), "smtp_failed", False),
        (aiosmtplib.SMTPServerDisconnected("gone"), "connect", False),
        (ConnectionRefusedError(), "connect", False),
        (ssl.SSLCertVerificationError("bad"), "tls", False),
    ],
)
def test_the_table(error: Exception, reason: str, is_final: bool) -> None:
    found = judged(error)
    assert (found.reason, found.is_final) == (reason, is_final)
