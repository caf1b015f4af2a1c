"""Every setting, with its type, bounds and default; `config.yaml` at the top of the tree says what each is for.

Sections are frozen; secrets are `SecretStr`, which prints as stars.
"""

from decimal import Decimal
from ipaddress import ip_address
from typing import Annotated, Any, Literal, Self
from urllib.parse import SplitResult, urlsplit
from uuid import UUID

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationInfo,
    field_validator,
    model_validator,
)

MIN_SECRET_CHARS = 32


def _split(url: str) -> SplitResult:
    try:
        return urlsplit(url)
    except ValueError:  # its message may quote the user and the password
        raise ValueError("must be an address") from None


def _http_url(url: str) -> str:
    parts = _split(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("must be an http:// or https:// address")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ValueError("must have no credentials, query or fragment")
    return url.rstrip("/")


def _url_of(*schemes: str) -> AfterValidator:
    def check(secret: SecretStr) -> SecretStr:
        if _split(secret.get_secret_value()).scheme not in schemes:
            raise ValueError(f"must start with {' or '.join(f'{s}://' for s in schemes)}")
        return secret

    return AfterValidator(check)


def _long_secret(secret: SecretStr) -> SecretStr:
    if len(secret.get_secret_value()) < MIN_SECRET_CHARS:
        raise ValueError(f"must be at least {MIN_SECRET_CHARS} characters")
    return secret


def _no_public_key(secret: SecretStr) -> SecretStr:
    # everybody has a public key: as a secret it would let everybody sign
    if "-----BEGIN" in secret.get_secret_value():
        raise ValueError("must be a secret, not a key or certificate (PEM); public keys come by jwks_url")
    return secret


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _jwks_url(url: str, *, allow_http: bool) -> str:
    """As it was written: an address of keys may have a query, and its last slash counts."""
    parts = _split(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("must be an https:// address")
    if parts.username or parts.password or parts.fragment:
        raise ValueError("must have no credentials or fragment")
    if parts.scheme == "http" and not allow_http and not _is_loopback(parts.hostname):
        raise ValueError("must be https:// (on this machine http:// will do; elsewhere set jwks_allow_http)")
    return url


def _one_or_many(given: Any) -> Any:
    return (given,) if isinstance(given, str) else given


UpstreamKind = Literal["generic", "vllm", "ollama", "llamacpp", "openai"]
HttpUrl = Annotated[str, AfterValidator(_http_url)]
Name = Annotated[str, Field(min_length=1, max_length=255)]
LongSecret = Annotated[SecretStr, AfterValidator(_long_secret)]
Seconds = Annotated[float, Field(gt=0, le=86_400)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    @model_validator(mode="before")
    @classmethod
    def _without_value_is_not_there(cls, given: Any) -> Any:
        """A setting, or a section with all its lines commented out, has its default."""
        if not isinstance(given, dict):
            return given
        return {name: value for name, value in given.items() if value is not None or name not in cls.model_fields}


class Listen(_Section):
    host: str = "127.0.0.1"
    port: int = Field(default=8080, ge=0, le=65_535)
    max_body_bytes: int = Field(default=32 << 20, ge=1024, le=1 << 30)
    max_header_bytes: int = Field(default=16 << 10, ge=1024, le=1 << 20)
    body_timeout_s: Seconds = 60
    client_stall_timeout_s: Seconds = 60
    shutdown_timeout_s: Seconds = 30


class Database(_Section):
    url: Annotated[SecretStr, _url_of("postgresql", "postgres")]
    max_connections: int = Field(default=8, ge=1, le=1000)
    timeout_s: Seconds = 5


class RedisServer(_Section):
    url: Annotated[SecretStr, _url_of("redis", "rediss", "unix")]
    timeout_s: Seconds = 0.5


class KeyPolicy(_Section):
    """What keys look like and how they are kept."""

    model_config = ConfigDict(extra="ignore")

    prefix: str = Field(default="pp_live-", pattern=r"^[A-Za-z0-9_-]{8}$")
    bcrypt_cost: int = Field(default=10, ge=4, le=15)
    max_requests_per_minute: int = Field(default=6_000, ge=1, le=100_000_000)
    max_requests_per_day: int = Field(default=1_000_000, ge=1, le=100_000_000)


class Keys(KeyPolicy):
    model_config = ConfigDict(extra="forbid")

    pepper: LongSecret


class Identity(_Section):
    """Whose tokens the account API takes; with neither a secret nor an address of keys it takes none."""

    jwt_secret: Annotated[LongSecret, AfterValidator(_no_public_key)] | None = None
    jwks_allow_http: bool = False  # before the address, whose check asks for it
    jwks_url: str | None = Field(default=None, max_length=2048)
    issuer: str | None = Field(default=None, min_length=1, max_length=255)
    audience: Annotated[tuple[Name, ...], BeforeValidator(_one_or_many)] = Field(default=(), max_length=32)
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


def _by_commas(given: Any) -> Any:
    return [part.strip() for part in given.split(",")] if isinstance(given, str) else given


def _page_url(url: str) -> str:
    parts = _split(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.password:
        raise ValueError("must be an http:// or https:// address without credentials")
    return url


PageUrl = Annotated[str, AfterValidator(_page_url)]
# Stripe takes from 0.50 to 999,999.99 dollars at once.
CardAmount = Annotated[Decimal, Field(ge=Decimal("0.50"), le=Decimal("999999.99"), decimal_places=2)]


class Stripe(_Section):
    """Without a secret key there is no checkout, without a signing secret no webhook."""

    secret_key: Annotated[SecretStr, AfterValidator(_stripe_key)] | None = None
    webhook_secrets: Annotated[
        tuple[Annotated[SecretStr, AfterValidator(_signing_secret)], ...], BeforeValidator(_by_commas)
    ] = Field(default=(), max_length=5)
    api_base: HttpUrl = "https://api.stripe.com"
    min_amount: CardAmount = Decimal(1)
    max_amount: CardAmount = Decimal(1000)
    success_url: PageUrl = "http://localhost:8080/?checkout=success"
    cancel_url: PageUrl = "http://localhost:8080/?checkout=cancelled"
    product_name: str = Field(default="API credits", min_length=1, max_length=200)

    @model_validator(mode="after")
    def _least_below_most(self) -> Self:
        if self.min_amount > self.max_amount:
            raise ValueError("min_amount must not be more than max_amount")
        return self


class Upstream(_Section):
    name: str = Field(default="default", min_length=1, max_length=64)
    url: HttpUrl
    kind: UpstreamKind = "generic"
    api_key: SecretStr | None = None
    models: tuple[str, ...] = ("*",)
    max_output_tokens: int = Field(default=4096, ge=1, le=10_000_000)
    connect_timeout_s: Seconds = 5
    first_byte_timeout_s: Seconds = 600
    idle_timeout_s: Seconds = 120
    keep_alive_s: Seconds = 4
    max_connections: int = Field(default=1024, ge=1, le=100_000)


def _at_least_one(upstreams: tuple[Upstream, ...]) -> tuple[Upstream, ...]:
    # not Field(min_length=1), which also complains where there is one, and it is wrong
    if not upstreams:
        raise ValueError("must have at least one")
    return upstreams


class Log(_Section):
    level: Literal["debug", "info", "warning", "error"] = "info"


class DatabaseConfig(_Section):
    """What `farebox migrate` and `farebox audit` need of the same file."""

    database: Database


class AccountsConfig(DatabaseConfig):
    """What the commands for keys and credits need of the same file."""

    redis: RedisServer
    keys: KeyPolicy = KeyPolicy()


class IdentityConfig(_Section):
    """What `farebox token` needs of the same file."""

    identity: Identity = Identity()


class Config(AccountsConfig):
    """Everything an operator can set; `config.yaml` at the top of the tree explains each line."""

    listen: Listen = Listen()
    keys: Keys
    identity: Identity = Identity()
    stripe: Stripe = Stripe()
    upstreams: Annotated[tuple[Upstream, ...], AfterValidator(_at_least_one)]
    log: Log = Log()
