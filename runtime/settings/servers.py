"""Where this process listens, and the servers it stands on."""

from typing import Annotated, Literal

from pydantic import Field, SecretStr

from runtime.settings.fields import Seconds, Section, url_of


class Listen(Section):
    host: str = "127.0.0.1"
    port: int = Field(default=8080, ge=0, le=65_535)
    max_body_bytes: int = Field(default=32 << 20, ge=1024, le=1 << 30)
    max_header_bytes: int = Field(default=16 << 10, ge=1024, le=1 << 20)
    body_timeout_s: Seconds = 60
    client_stall_timeout_s: Seconds = 60
    shutdown_timeout_s: Seconds = 30


class Database(Section):
    url: Annotated[SecretStr, url_of("postgresql", "postgres")]
    max_connections: int = Field(default=8, ge=1, le=1000)
    timeout_s: Seconds = 5


class RedisServer(Section):
    url: Annotated[SecretStr, url_of("redis", "rediss", "unix")]
    timeout_s: Seconds = 0.5


class Log(Section):
    level: Literal["debug", "info", "warning", "error"] = "info"
