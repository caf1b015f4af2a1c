"""An event, mailed to its owner: one connection per mail, which a mail server closes anyway before the next is due."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from email.message import EmailMessage

import aiosmtplib
import structlog

from accounts.notices.mail import Templates, compose
from accounts.notices.signing import Event
from accounts.notices.worker import Undelivered
from runtime.settings import Smtp

log = structlog.get_logger("farebox.notices")

# A farewell is a courtesy: the mail is taken already.
_QUIT_S = 2.0
# Refusals of us and not of the mail (RFC 4954, section 6): they pass when the settings are put right.
_ABOUT_US = frozenset((530, 534, 535, 538))

# Where an event's owner is mailed; None: nowhere.
Addresses = Callable[[Event], Awaitable[str | None]]


class MailSender:
    """Renders and hands over to the mail server; `tls` None: the certificate must be of a known authority."""

    def __init__(
        self, settings: Smtp, templates: Templates, addresses: Addresses, *, tls: ssl.SSLContext | None = None
    ) -> None:
        self._settings = settings
        self._templates = templates
        self._addresses = addresses
        self._tls = tls

    async def send(self, event: Event) -> None:
        """Raises Undelivered unless the mail server takes it in time; UNAVAILABLE while Postgres is away."""
        address = await self._addresses(event)
        if address is None:
            raise Undelivered("no_address", is_final=True)
        try:
            message = compose(event, self._settings.sender, address, self._templates)
        except Exception as error:
            # A template may raise anything; what it says may quote what it was given.
            log.error("mail_not_composed", event_id=str(event.id), error=type(error).__name__)
            raise Undelivered("not_composed", is_final=True) from None
        await self._hand_over(message, address)

    async def _hand_over(self, message: EmailMessage, address: str) -> None:
        sender = message["From"].addresses[0].addr_spec
        client = self._client()
        try:
            async with asyncio.timeout(self._settings.timeout_s):
                await client.connect()
                await client.sendmail(sender, [address], bytes(message))
        except TimeoutError:
            raise Undelivered("timeout") from None
        except (aiosmtplib.SMTPException, OSError, ValueError) as error:
            raise judged(error) from None
        else:
            await _part(client)
        finally:
            client.close()

    def _client(self) -> aiosmtplib.SMTP:
        settings = self._settings
        return aiosmtplib.SMTP(
            hostname=settings.host,
            port=settings.port,
            username=settings.username,
            password=settings.password.get_secret_value() if settings.password is not None else None,
            timeout=settings.timeout_s,
            use_tls=settings.tls == "tls",
            # Never only if the server offers it: whoever sits between could take the offer out.
            start_tls=settings.tls == "starttls",
            tls_context=self._tls,
        )


async def _part(client: aiosmtplib.SMTP) -> None:
    try:
        async with asyncio.timeout(_QUIT_S):
            await client.quit()
    except (aiosmtplib.SMTPException, OSError):
        pass


def judged(error: Exception) -> Undelivered:
    """A refusal of this mail for good (5xx) ends it; whatever is about the server, or us, may pass."""
    if isinstance(error, aiosmtplib.SMTPRecipientsRefused):
        error = error.recipients[0]
    if isinstance(error, aiosmtplib.SMTPRecipientRefused | aiosmtplib.SMTPSenderRefused | aiosmtplib.SMTPDataError):
        return Undelivered(f"smtp_{error.code}", is_final=error.code >= 500 and error.code not in _ABOUT_US)
    if isinstance(error, aiosmtplib.SMTPResponseException):
        return Undelivered(f"smtp_{error.code}")
    if isinstance(error, ssl.SSLError):
        return Undelivered("tls")
    return Undelivered("connect" if isinstance(error, OSError) else "smtp_failed")
