"""Where this process listens, the servers it stands on, and the folder for what they cannot take."""

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, SecretStr, model_validator

from runtime.addresses import Network, read_network
from runtime.settings.fields import Seconds, Section, by_commas, url_of


def _networks(given: Any) -> Any:
    """A list, or text with commas; pydantic would not know the networks that are addresses written as IPv6."""
    entries = by_commas(given)
    if not isinstance(entries, (list, tuple)):
        raise ValueError("must be a list of networks")
    try:
        return tuple(read_network(str(entry)) for entry in entries if entry != "")
    except ValueError:
        raise ValueError("must be networks such as 10.0.0.0/8 or addresses") from None


class AdminListen(Section):
    host: str = "127.0.0.1"
    port: int = Field(ge=0, le=65_535)


class Listen(Section):
    host: str = "127.0.0.1"
    port: int = Field(default=8080, ge=0, le=65_535)
    max_body_bytes: int = Field(default=32 << 20, ge=1024, le=1 << 30)
    max_header_bytes: int = Field(default=16 << 10, ge=1024, le=1 << 20)
    trusted_proxies: Annotated[tuple[Network, ...], BeforeValidator(_networks)] = Field(default=(), max_length=200)
    body_timeout_s: Seconds = 60
    client_stall_timeout_s: Seconds = 60
    shutdown_timeout_s: Seconds = 30
    admin: AdminListen | None = None

    @model_validator(mode="after")
    def _two_ports(self) -> Self:
        # whatever the hosts are: 0.0.0.0 takes the port of every address. 0 lets the system choose
        if self.admin is not None and self.admin.port == self.port != 0:
            raise ValueError("admin.port must not be the port of everybody else")
        return self


class Database(Section):
    url: Annotated[SecretStr, url_of("postgresql", "postgres")]
    max_connections: int = Field(default=8, ge=1, le=1000)
    timeout_s: Seconds = 5


class RedisServer(Section):
    url: Annotated[SecretStr, url_of("redis", "rediss", "unix")]
    timeout_s: Seconds = 0.5


class SpoolFolder(Section):
    dir: Path = Path("spool")
    max_bytes: int = Field(default=256 << 20, ge=1 << 20, le=16 << 30)


class Log(Section):
    level: Literal["debug", "info", "warning", "error"] = "info"
