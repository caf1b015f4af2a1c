"""How what nobody reports is counted."""

from typing import Annotated

from pydantic import Field, StringConstraints

ModelPattern = Annotated[str, StringConstraints(min_length=1, max_length=256)]
TokenizerName = Annotated[str, StringConstraints(min_length=1, max_length=4096)]
Tokenizers = Annotated[dict[ModelPattern, TokenizerName], Field(max_length=256)]
