"""Who is told of events: operators' endpoints by webhook, users by mail."""

import base64
import binascii
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Literal, Self, get_args

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    SecretStr,
    ValidationInfo,
    field_validator,
    model_validator,
)

from runtime.mail_address import split_sender
from runtime.settings.fields import PageUrl, Section, by_commas, is_loopback, split

SECRET_PREFIX = "whsec_"  # noqa: S105 - how a secret begins, not one
# Standard Webhooks, "Signature scheme": between 24 and 64 bytes.
_LEAST_SECRET_BYTES, _MOST_SECRET_BYTES = 24, 64

EventKind = Literal["balance.low", "balance.empty", "topup.succeeded", "topup.failed", "key.revoked"]
EVENT_KINDS: tuple[EventKind, ...] = get_args(EventKind)


def secret_bytes(secret: SecretStr) -> bytes:
    """What signs: the base64 after `whsec_`. Raises ValueError."""
    text = secret.get_secret_value()
    try:
        raw = base64.b64decode(text.removeprefix(SECRET_PREFIX), validate=True)
    except binascii.Error:
        raw = b""
    if not text.startswith(SECRET_PREFIX) or not _LEAST_SECRET_BYTES <= len(raw) <= _MOST_SECRET_BYTES:
        raise ValueError("must be whsec_ and the base64 of 24 to 64 random bytes")
    return raw


def _webhook_secret(secret: SecretStr) -> SecretStr:
    secret_bytes(secret)
    return secret


class WebhookEndpoint(Section):
    """One receiver of an operator's own."""

    name: str | None = Field(default=None, pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")
    allow_http: bool = False  # before the address, whose check asks for it
    url: str = Field(max_length=2048, repr=False)  # its query may be a secret
    secrets: Annotated[
        tuple[Annotated[SecretStr, AfterValidator(_webhook_secret)], ...], BeforeValidator(by_commas)
    ] = Field(min_length=1, max_length=5)
    events: tuple[EventKind, ...] = Field(default=EVENT_KINDS, min_length=1)
    # At most 15: a process that is told to stop finishes what it is at within 20 seconds.
    timeout_s: float = Field(default=10, gt=0, le=15)
    max_concurrent: int = Field(default=8, ge=1, le=64)

    @field_validator("url")
    @classmethod
    def _https_or_asked_for(cls, url: str, info: ValidationInfo) -> str:
        parts = split(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("must be an https:// address")
        if parts.username or parts.password or parts.fragment:
            raise ValueError("must have no credentials or fragment")
        if parts.scheme == "http" and not info.data.get("allow_http") and not is_loopback(parts.hostname):
            raise ValueError("must be https:// (on this machine http:// will do; elsewhere set allow_http)")
        return url

    @property
    def channel(self) -> str:
        """What its deliveries are filed under."""
        return f"webhook:{self.name or split(self.url).hostname}"


def _sender(text: str) -> str:
    split_sender(text)
    return text


class Smtp(Section):
    """The mail server that takes our mails."""

    host: str = Field(min_length=1, max_length=255)
    port: int = Field(default=587, ge=1, le=65_535)
    tls: Literal["starttls", "tls", "none"] = "starttls"
    username: str | None = Field(default=None, min_length=1, max_length=255)
    password: SecretStr | None = None
    sender: Annotated[str, Field(min_length=3, max_length=320), AfterValidator(_sender)] = Field(alias="from")
    timeout_s: float = Field(default=10, gt=0, le=15)

    @model_validator(mode="after")
    def _credentials_are_whole_and_hidden(self) -> Self:
        if (self.username is None) != (self.password is None):
            raise ValueError("username and password go together")
        if self.username is not None and self.tls == "none" and not is_loopback(self.host):
            raise ValueError("tls: a password is not sent to another machine in the clear; use starttls or tls")
        return self


class Notices(Section):
    """Without endpoints no webhooks, without smtp no mails; events are kept all the same."""

    low_balance: Decimal = Field(default=Decimal(5), ge=0, le=9_000_000, decimal_places=9)
    webhooks: tuple[WebhookEndpoint, ...] = Field(default=(), max_length=20)
    smtp: Smtp | None = None
    templates: Path | None = None
    site_name: str = Field(default="Farebox", min_length=1, max_length=100, pattern=r"^[^\r\n]+$")
    site_url: PageUrl | None = None
    max_mails_per_user_per_day: int = Field(default=20, ge=1, le=10_000)
    max_attempts: int = Field(default=20, ge=1, le=100)
    max_age_days: float = Field(default=3, gt=0, le=30)
    keep_days: float = Field(default=30, ge=1, le=3650)
    keep_dead_days: float = Field(default=90, ge=1, le=3650)

    @model_validator(mode="after")
    def _endpoints_are_told_apart(self) -> Self:
        channels = [endpoint.channel for endpoint in self.webhooks]
        if len(set(channels)) < len(channels):
            raise ValueError("webhooks: two on one host, or of one name: give each a name of its own")
        return self
