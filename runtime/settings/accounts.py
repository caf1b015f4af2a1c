"""Keys, user tokens, cards."""

from decimal import Decimal
from typing import Annotated, Literal, Self
from uuid import UUID

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationInfo,
    field_validator,
    model_validator,
)

from runtime.settings.fields import (
    HttpUrl,
    LongSecret,
    Name,
    PageUrl,
    Section,
    by_commas,
    is_loopback,
    one_or_many,
    split,
)


def _no_public_key(secret: SecretStr) -> SecretStr:
    # everybody has a public key: as a secret it would let everybody sign
    if "-----BEGIN" in secret.get_secret_value():
        raise ValueError("must be a secret, not a key or certificate (PEM); public keys come by jwks_url")
    return secret


def _jwks_url(url: str, *, allow_http: bool) -> str:
    """As it was written: an address of keys may have a query, and its last slash counts."""
    parts = split(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("must be an https:// address")
    if parts.username or parts.password or parts.fragment:
        raise ValueError("must have no credentials or fragment")
    if parts.scheme == "http" and not allow_http and not is_loopback(parts.hostname):
        raise ValueError("must be https:// (on this machine http:// will do; elsewhere set jwks_allow_http)")
    return url


class KeyPolicy(Section):
    """What keys look like and how they are kept."""

    model_config = ConfigDict(extra="ignore")

    prefix: str = Field(default="pp_live-", pattern=r"^[A-Za-z0-9_-]{8}$")
    bcrypt_cost: int = Field(default=10, ge=4, le=15)
    max_requests_per_minute: int = Field(default=6_000, ge=1, le=100_000_000)
    max_requests_per_day: int = Field(default=1_000_000, ge=1, le=100_000_000)
    max_tokens_per_minute: int | None = Field(default=None, ge=1, le=100_000_000)
    max_concurrent_requests: int | None = Field(default=None, ge=1, le=100_000)
    max_keys_per_user: int = Field(default=100, ge=1, le=10_000)
    max_rotation_grace_s: int = Field(default=7 * 86_400, ge=0, le=365 * 86_400)


class Keys(KeyPolicy):
    model_config = ConfigDict(extra="forbid")

    pepper: LongSecret


class Identity(Section):
    """Whose tokens the account API takes; with neither a secret nor an address of keys it takes none."""

    jwt_secret: Annotated[LongSecret, AfterValidator(_no_public_key)] | None = None
    jwks_allow_http: bool = False  # before the address, whose check asks for it
    jwks_url: str | None = Field(default=None, max_length=2048)
    issuer: str | None = Field(default=None, min_length=1, max_length=255)
    audience: Annotated[tuple[Name, ...], BeforeValidator(one_or_many)] = Field(default=(), max_length=32)
    authorized_parties: Annotated[tuple[Name, ...], BeforeValidator(one_or_many)] = Field(default=(), max_length=32)
    leeway_s: float = Field(default=30, ge=0, le=300)
    subject: Literal["uuid", "derived"] = "uuid"
    admin_user_ids: tuple[UUID, ...] = ()

    @field_validator("jwks_url")
    @classmethod
    def _https_or_asked_for(cls, url: str | None, info: ValidationInfo) -> str | None:
        return url if url is None else _jwks_url(url, allow_http=info.data.get("jwks_allow_http", False))


def _stripe_key(secret: SecretStr) -> SecretStr:
    if not secret.get_secret_value().startswith(("sk_", "rk_")):
        raise ValueError("must be a secret key (sk_…) or a restricted one (rk_…)")
    return secret


def _signing_secret(secret: SecretStr) -> SecretStr:
    """Anybody can sign with an empty secret."""
    if not secret.get_secret_value().strip():
        raise ValueError("must not be empty")
    return secret


# Stripe takes from 0.50 to 999,999.99 dollars at once.
CardAmount = Annotated[Decimal, Field(ge=Decimal("0.50"), le=Decimal("999999.99"), decimal_places=2)]


# As the ledger's largest balance: more could not be booked.
CapAmount = Annotated[Decimal, Field(ge=Decimal("0.50"), le=Decimal(9_000_000), decimal_places=2)]


class AutoTopup(Section):
    """What people may have charged while they are not there."""

    max_amount: CardAmount | None = None  # as at a checkout
    max_monthly_cap: CapAmount = Decimal(10_000)
    interval_s: float = Field(default=10, ge=0.05, le=3600)


class Stripe(Section):
    """Without a secret key there is no checkout, without a signing secret no webhook."""

    secret_key: Annotated[SecretStr, AfterValidator(_stripe_key)] | None = None
    webhook_secrets: Annotated[
        tuple[Annotated[SecretStr, AfterValidator(_signing_secret)], ...], BeforeValidator(by_commas)
    ] = Field(default=(), max_length=5)
    api_base: HttpUrl = "https://api.stripe.com"
    min_amount: CardAmount = Decimal(1)
    max_amount: CardAmount = Decimal(1000)
    success_url: PageUrl = "http://localhost:8080/?checkout=success"
    cancel_url: PageUrl = "http://localhost:8080/?checkout=cancelled"
    product_name: str = Field(default="API credits", min_length=1, max_length=200)
    auto_topup: AutoTopup = AutoTopup()
    keep_events_days: int = Field(default=90, ge=90, le=36_500)

    @model_validator(mode="after")
    def _least_below_most(self) -> Self:
        if self.min_amount > self.max_amount:
            raise ValueError("min_amount must not be more than max_amount")
        return self
