"""What is told to Prometheus, and where."""

from pydantic import Field, SecretStr

from runtime.settings.fields import Section


class LedgerListen(Section):
    host: str = "127.0.0.1"
    port: int = Field(ge=0, le=65_535)


class Metrics(Section):
    token: SecretStr | None = Field(default=None, min_length=16)
    max_models: int = Field(default=100, ge=1, le=10_000)
    ledger: LedgerListen | None = None
