"""Every setting, with its type, bounds and default; `config.yaml` at the top of the tree says what each is for.

Sections are frozen; secrets are `SecretStr`, which prints as stars.
"""

from typing import Annotated, Literal
from urllib.parse import urlsplit
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr

MIN_SECRET_CHARS = 32


def _http_url(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("must be an http:// or https:// address")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ValueError("must have no credentials, query or fragment")
    return url.rstrip("/")


def _url_of(*schemes: str) -> AfterValidator:
    def check(secret: SecretStr) -> SecretStr:
        if urlsplit(secret.get_secret_value()).scheme not in schemes:
            raise ValueError(f"must start with {' or '.join(f'{s}://' for s in schemes)}")
        return secret

    return AfterValidator(check)


def _long_secret(secret: SecretStr) -> SecretStr:
    if len(secret.get_secret_value()) < MIN_SECRET_CHARS:
        raise ValueError(f"must be at least {MIN_SECRET_CHARS} characters")
    return secret


UpstreamKind = Literal["generic", "vllm", "ollama", "llamacpp", "openai"]
HttpUrl = Annotated[str, AfterValidator(_http_url)]
LongSecret = Annotated[SecretStr, AfterValidator(_long_secret)]
Seconds = Annotated[float, Field(gt=0, le=86_400)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


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


class Keys(KeyPolicy):
    model_config = ConfigDict(extra="forbid")

    pepper: LongSecret


class Identity(_Section):
    jwt_secret: LongSecret | None = None
    admin_user_ids: tuple[UUID, ...] = ()


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
    upstreams: tuple[Upstream, ...] = Field(min_length=1)
    log: Log = Log()
