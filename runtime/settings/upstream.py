"""The LLM servers behind the proxy."""

from typing import Literal

from pydantic import Field, SecretStr

from runtime.settings.fields import HttpUrl, Seconds, Section

UpstreamKind = Literal["generic", "vllm", "ollama", "llamacpp", "openai"]


class Upstream(Section):
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
