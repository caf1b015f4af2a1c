"""The LLM servers behind the proxy."""

from typing import Literal

from pydantic import Field, SecretStr

from runtime.settings.fields import HttpUrl, Seconds, Section

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


class Upstream(Section):
    name: str = Field(default="default", min_length=1, max_length=64)
    url: HttpUrl
    kind: UpstreamKind = "generic"
    api_key: SecretStr | None = None
    models: tuple[str, ...] = ("*",)
    max_output_tokens: int = Field(default=4096, ge=1, le=10_000_000)
    context_tokens: int | None = Field(default=None, ge=1, le=100_000_000)
    on_client_left: OnClientLeft = "default"
    drain_timeout_s: Seconds = 120
    max_drains: int = Field(default=64, ge=0, le=100_000)
    connect_timeout_s: Seconds = 5
    first_byte_timeout_s: Seconds = 600
    idle_timeout_s: Seconds = 120
    keep_alive_s: Seconds = 4
    max_connections: int = Field(default=1024, ge=1, le=100_000)
