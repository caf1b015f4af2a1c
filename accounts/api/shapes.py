"""What the routes answer, as the description (OpenAPI) says it; the tests hold every answer to it."""

from decimal import Decimal
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema

# Exact to nine decimals: read it as a decimal, not as a float.
DOLLARS = "dollars, exact to nine decimals"
Dollars = Annotated[Decimal, WithJsonSchema({"type": "number", "description": DOLLARS})]

NextCursor = Annotated[str | None, Field(description="asks for the next page; null: this is the last")]


class Answer(BaseModel):
    """The base of every answer; a field that is not described is a mistake."""

    # Only the description needs them built, and most starts end without anybody asking for it.
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


class Done(Answer):
    success: Annotated[bool, Field(description="always true: failures have another shape and status")]
    message: str
