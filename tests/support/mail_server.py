"""A real SMTP server, in the loop of the test."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiosmtpd.smtp import SMTP as Server
from aiosmtpd.smtp import Envelope, Session


class Mailbox:
    """A mail server's own view: what it took, and what it says to which command."""

    def __init__(self) -> None:
        self.taken: list[tuple[str, list[str], bytes, bool]] = []
        self.says: dict[str, str] = {}

    async def handle_MAIL(self, server: Server, session: Session, envelope: Envelope, address: str, _: Any) -> str:
        envelope.mail_from = address
        return self.says.get("MAIL", "250 OK")

    async def handle_RCPT(self, server: Server, session: Session, envelope: Envelope, address: str, _: Any) -> str:
        if "RCPT" not in self.says:
            envelope.rcpt_tos.append(address)
        return self.says.get("RCPT", "250 OK")

    async def handle_DATA(self, server: Server, session: Session, envelope: Envelope) -> str:
        if self.says.get("DATA") == "hang":
            await asyncio.Event().wait()
        if "DATA" not in self.says:
            assert isinstance(envelope.content, bytes)
            self.taken.append((str(envelope.mail_from), envelope.rcpt_tos, envelope.content, session.ssl is not None))
        return self.says.get("DATA", "250 OK")


@asynccontextmanager
async def mail_server(
    mailbox: Mailbox, port: int = 0, *, tls: ssl.SSLContext | None = None, **how: Any
) -> AsyncIterator[int]:
    """Its port; `tls` from the first byte."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Server(mailbox, loop=loop, **how), "127.0.0.1", port, ssl=tls)
    async with server:
        yield server.sockets[0].getsockname()[1]
