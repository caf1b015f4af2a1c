"""The LLM servers behind the proxy, and what is added to requests for a model."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, SecretStr, field_validator, model_validator

from runtime.settings.fields import Seconds, Section, UpstreamUrl

UpstreamKind = Literal[
    "generic",
    "vllm",
    "sglang",
    "llamacpp",
    "ollama",
    "tgi",
    "trtllm",
    "openai",
    "azure",
    "anthropic",
    "mistral",
    "deepseek",
    "openrouter",
    "groq",
]
OnClientLeft = Literal["default", "abort", "drain", "estimate"]
Failover = Literal["before_answer", "before_sent", "never"]
ProxyChoice = Literal["environment", "none"]

ANY_MODEL = "*"
_MAX_HEADERS = 32
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}")
_HEADER_VALUE = re.compile(r"[\t -~]{0,4096}")
_PATH = re.compile(r"/[!\"$-~]{0,1000}")
# Each has a setting of its own, or frames the message, which is ours alone to do.
_OUR_HEADERS = frozenset(
    (
        "accept-encoding",
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "expect",
        "host",
        "keep-alive",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "x-request-id",
    )
)
# What Farebox itself decides by: another model would be priced wrongly, another form of the answer not be understood.
_OUR_FIELDS = frozenset(("model", "stream", "stream_options"))


def _headers(given: dict[str, SecretStr]) -> dict[str, SecretStr]:
    if len({name.lower() for name in given}) < len(given):
        raise ValueError("must not name a header twice")
    for name, value in given.items():
        if not _HEADER_NAME.fullmatch(name) or not _HEADER_VALUE.fullmatch(value.get_secret_value()):
            raise ValueError("must be names and values that a header can have, in ASCII")
        if name.lower() in _OUR_HEADERS:
            raise ValueError(f"must not set {name.lower()}")
    return given


def _path(given: str) -> str:
    if not _PATH.fullmatch(given):
        raise ValueError("must be a path such as /health")
    return given


Headers = Annotated[dict[str, SecretStr], AfterValidator(_headers)]


class Breaker(Section):
    failures: int = Field(default=5, ge=0, le=1000)
    open_s: Seconds = 5


class HealthCheck(Section):
    path: Annotated[str, AfterValidator(_path)] = "/health"
    interval_s: Seconds = 5
    timeout_s: Seconds = 2
    bad_checks: int = Field(default=3, ge=1, le=100)
    good_checks: int = Field(default=1, ge=1, le=100)


class Tls(Section):
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    server_name: str | None = Field(default=None, min_length=1, max_length=253)

    @model_validator(mode="after")
    def _has_both(self) -> Self:
        if (self.cert_file is None) is not (self.key_file is None):
            raise ValueError("cert_file and key_file go together")
        return self


class Upstream(Section):
    name: str = Field(default="default", min_length=1, max_length=64)
    url: UpstreamUrl
    kind: UpstreamKind = "generic"
    api_key: SecretStr | None = None
    models: tuple[str, ...] = (ANY_MODEL,)
    model_names: dict[str, str] = Field(default_factory=dict)
    headers: Headers = Field(default_factory=dict, max_length=_MAX_HEADERS)
    weight: int = Field(default=1, ge=1, le=1000)
    failover: Failover = "before_answer"
    breaker: Breaker = Breaker()
    health: HealthCheck | None = None
    max_output_tokens: int = Field(default=4096, ge=1, le=10_000_000)
    context_tokens: int | None = Field(default=None, ge=1, le=100_000_000)
    on_client_left: OnClientLeft = "default"
    drain_timeout_s: Seconds = 120
    max_drains: int = Field(default=64, ge=0, le=100_000)
    connect_timeout_s: Seconds = 5
    first_byte_timeout_s: Seconds = 600
    idle_timeout_s: Seconds = 120
    keep_alive_s: Seconds = 4
    max_connection_age_s: Seconds = 60
    max_connections: int = Field(default=1024, ge=1, le=100_000)
    max_waiting: int = Field(default=1024, ge=0, le=100_000)
    queue_timeout_s: Seconds = 5
    tls: Tls = Tls()
    unix_socket: Path | None = None
    proxy: ProxyChoice = "environment"

    @property
    def is_tls(self) -> bool:
        return self.url.lower().startswith("https://")

    @model_validator(mode="after")
    def _tls_is_for_https(self) -> Self:
        if not self.is_tls and self.tls != Tls():
            raise ValueError("tls is for an https:// address")
        return self


class ModelAdditions(Section):
    """What goes upstream with every request for a model, whatever its client says."""

    name: str = Field(min_length=1, max_length=255)
    headers: Headers = Field(default_factory=dict, max_length=_MAX_HEADERS)
    body: dict[str, Any] = Field(default_factory=dict)

    @field_validator("body")
    @classmethod
    def _not_ours(cls, body: Mapping[str, Any]) -> Mapping[str, Any]:
        for name in body:
            if name.casefold() in _OUR_FIELDS:
                raise ValueError(f"must not set {name.casefold()}")
        return body
