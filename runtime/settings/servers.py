"""Where this process listens, the servers it stands on, and the folder for what they cannot take."""

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, model_validator

from runtime.addresses import Network, read_network
from runtime.settings.fields import Seconds, Section, by_commas, split, url_of

_MAX_PORT = 65_535
# Each shard has a writer in every ledger process, and each writer a connection.
MAX_SHARDS = 256


def _networks(given: Any) -> Any:
    """A list, or text with commas; pydantic would not know the networks that are addresses written as IPv6."""
    entries = by_commas(given)
    if not isinstance(entries, (list, tuple)):
        raise ValueError("must be a list of networks")
    try:
        return tuple(read_network(str(entry)) for entry in entries if entry != "")
    except ValueError:
        raise ValueError("must be networks such as 10.0.0.0/8 or addresses") from None


def _origin(text: str) -> str:
    """As browsers write it: no path, not even a slash; in lower case, and without a port that goes without saying."""
    parts = split(text)
    is_origin = parts.scheme in ("http", "https") and parts.hostname and text == f"{parts.scheme}://{parts.netloc}"
    if text != "*" and (not is_origin or parts.username is not None or text != text.lower()):
        raise ValueError("must be an origin such as https://app.example.com, or *")
    return text


class AdminListen(Section):
    host: str = "127.0.0.1"
    port: int = Field(ge=0, le=65_535)


class Listen(Section):
    host: str = "127.0.0.1"
    port: int = Field(default=8080, ge=0, le=65_535)
    max_body_bytes: int = Field(default=32 << 20, ge=1024, le=1 << 30)
    max_header_bytes: int = Field(default=16 << 10, ge=1024, le=1 << 20)
    trusted_proxies: Annotated[tuple[Network, ...], BeforeValidator(_networks)] = Field(default=(), max_length=200)
    cors_origins: Annotated[tuple[Annotated[str, AfterValidator(_origin)], ...], BeforeValidator(by_commas)] = Field(
        default=(), max_length=100
    )
    max_connections: int = Field(default=10_000, ge=1, le=1_000_000)
    max_connections_per_address: int | None = Field(default=None, ge=1, le=1_000_000)
    max_wrong_keys_per_minute: int = Field(default=600, ge=0, le=1_000_000)
    header_timeout_s: Seconds = 60
    keep_alive_timeout_s: Seconds = 75
    body_timeout_s: Seconds = 60
    client_stall_timeout_s: Seconds = 60
    shutdown_delay_s: float = Field(default=0, ge=0, le=300, allow_inf_nan=False)
    shutdown_timeout_s: Seconds = 30
    admin: AdminListen | None = None
    admin_on_public_port: bool = False

    @model_validator(mode="after")
    def _two_ports(self) -> Self:
        if self.admin is not None and self.admin_on_public_port:
            raise ValueError("admin has a port of its own, or admin_on_public_port is true: not both")
        # whatever the hosts are: 0.0.0.0 takes the port of every address. 0 lets the system choose
        if self.admin is not None and self.admin.port == self.port != 0:
            raise ValueError("admin.port must not be the port of everybody else")
        return self


class Database(Section):
    url: Annotated[SecretStr, url_of("postgresql", "postgres")]
    max_connections: int = Field(default=8, ge=1, le=1000)
    timeout_s: Seconds = 5


def _nodes(given: Any) -> Any:
    """A list of `host:port`, or text with commas; an address written as IPv6 stands in brackets."""
    entries = by_commas(given)
    if not isinstance(entries, (list, tuple)):
        raise ValueError("must be a list of host:port")
    return tuple(_node(str(entry)) for entry in entries if entry != "")


def _node(entry: str) -> tuple[str, int]:
    host, colon, port = entry.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not host or not colon or not port.isascii() or not port.isdecimal() or not 0 < int(port) <= _MAX_PORT:
        raise ValueError("must be nodes such as 10.0.0.7:6379")
    return host, int(port)


class RedisServer(Section):
    url: Annotated[SecretStr, url_of("redis", "rediss", "unix")]
    timeout_s: Seconds = 0.5
    shards: int = Field(default=1, ge=1, le=MAX_SHARDS)
    cluster: bool = False
    nodes: Annotated[tuple[tuple[str, int], ...], BeforeValidator(_nodes)] = Field(default=(), max_length=100)

    @model_validator(mode="after")
    def _is_a_cluster(self) -> Self:
        parts = split(self.url.get_secret_value())
        if not self.cluster:
            if self.nodes:
                raise ValueError("nodes are for a cluster: set cluster: true")
        elif parts.scheme == "unix":
            raise ValueError("a cluster is not reached by a unix:// address")
        elif parts.path.strip("/") not in ("", "0"):
            raise ValueError("a cluster has database 0 only")
        return self


class SpoolFolder(Section):
    dir: Path = Path("spool")
    max_bytes: int = Field(default=256 << 20, ge=1 << 20, le=16 << 30)


class Reload(Section):
    # Twice this passes at most until a change of the file is in force. 0: only SIGHUP reads it again.
    interval_s: float = Field(default=2, ge=0, le=3600)


class Log(Section):
    level: Literal["debug", "info", "warning", "error"] = "info"
    slow_s: Seconds = 60
