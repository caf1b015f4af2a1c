"""Where traces of requests go, and of how many."""

from pydantic import Field, SecretStr

from runtime.settings.fields import HttpUrl, Section


class Traces(Section):
    endpoint: HttpUrl
    sample: float = Field(default=0.01, gt=0, le=1)
    follow_clients: bool = False
    service_name: str = Field(default="farebox", min_length=1, max_length=255)
    headers: dict[str, SecretStr] = Field(default_factory=dict, max_length=20)
