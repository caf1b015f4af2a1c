"""How what nobody reports is counted, and how money is held for what runs."""

from typing import Annotated

from pydantic import Field, StringConstraints

from runtime.settings.fields import Section

ModelPattern = Annotated[str, StringConstraints(min_length=1, max_length=256)]
TokenizerName = Annotated[str, StringConstraints(min_length=1, max_length=4096)]
Tokenizers = Annotated[dict[ModelPattern, TokenizerName], Field(max_length=256)]


class Holds(Section):
    # Half a page of text, a few seconds of most models: a stream asks for more about once in that time.
    step_tokens: int = Field(default=512, ge=16, le=1_000_000)
    lower_limits: bool = True
    # Settled, and not yet posted to Postgres: about 1 GB in Redis, which must not fill up.
    max_unposted_events: int = Field(default=1_000_000, ge=1_000, le=100_000_000)
