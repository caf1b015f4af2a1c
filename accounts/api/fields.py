"""What the fields of a request may be. Strict: a number in quotes is no number, an unknown field is a mistake."""

import re
import unicodedata
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any
from uuid import UUID

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from accounts.filters import MAX_MODEL_CHARS
from ledger.money import MAX_NANOS, NANOS_PER_DOLLAR, MoneyError, Nanos, parse_dollars

MAX_NAME_CHARS = 100
MAX_DESCRIPTION_CHARS = 500
# Control, surrogate, private use, unassigned, and the marks that turn the direction of text.
_REFUSED_CATEGORIES = frozenset(("Cc", "Cs", "Co", "Cn", "Cf"))


class Body(BaseModel):
    """The base of every request body and query."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, hide_input_in_errors=True)


def _amount(value: Any) -> Nanos:
    # bool is an int in Python; a float has already lost what was written
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise ValueError("must be a number of dollars")
    try:
        return parse_dollars(value)
    except MoneyError as error:
        raise ValueError("must be a number of dollars with at most nine decimals, in range") from error


def plain_text(value: str) -> str:
    if any(unicodedata.category(char) in _REFUSED_CATEGORIES for char in value):
        raise ValueError("must be plain text without control characters")
    if not value.strip():
        raise ValueError("must not be blank")
    return value.strip()


# What the description (OpenAPI) says of text; the rest of _REFUSED_CATEGORIES has no short pattern.
_TEXT_PATTERN = r"^[^\x00-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f][^\x00-\x1f\x7f-\x9f]*$"


def text_schema(max_chars: int, **more: Any) -> WithJsonSchema:
    """How plain text on one line is described."""
    return WithJsonSchema({"type": "string", "minLength": 1, "maxLength": max_chars, "pattern": _TEXT_PATTERN} | more)


def _uuid(value: Any) -> UUID:
    if isinstance(value, str):
        try:
            parsed = UUID(value)
        except ValueError:
            parsed = None
        if parsed is not None and str(parsed) == value.lower():
            return parsed
    raise ValueError("must be a UUID")


# ISO 8601 as it is commonly written: its weeks and its forms without hyphens are refused.
_MOMENT = re.compile(r"\d{4}-\d{2}-\d{2}([Tt ]\d{2}:\d{2}(:\d{2}(\.\d{1,9})?)?([Zz]|[+-]\d{2}:\d{2})?)?", re.ASCII)


def _moment(value: Any) -> datetime:
    """ISO 8601; a date alone is its first moment, and without an offset it is UTC."""
    if isinstance(value, str) and _MOMENT.fullmatch(value):
        try:
            parsed = datetime.fromisoformat(value)
            return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).astimezone(UTC)
        except (ValueError, OverflowError):
            pass
    raise ValueError("must be a date or time as ISO 8601")


def _end(value: Any) -> datetime:
    """The end of a period: a date alone means that the day is in it."""
    moment = _moment(value)
    try:
        return moment + timedelta(days=1) if len(value) == len("2026-11-22") else moment
    except OverflowError:
        raise ValueError("must be a date before the end of time") from None


def _amount_schema(**least: Any) -> WithJsonSchema:
    most = MAX_NANOS // NANOS_PER_DOLLAR
    bounds = (least or {"minimum": -most}) | {"maximum": most}
    what = "dollars, at most nine decimals"
    return WithJsonSchema({"type": "number", "multipleOf": 1e-9, "description": what, "examples": [12.5]} | bounds)


def _more_than_nothing(nanos: int) -> int:
    if nanos <= 0:
        raise ValueError("must be more than 0")
    return nanos


def _not_negative(nanos: int) -> int:
    if nanos < 0:
        raise ValueError("must not be negative")
    return nanos


_UUID_SCHEMA = {"type": "string", "format": "uuid", "examples": ["0b0b0b0b-0000-4000-8000-000000000002"]}
_DATES = [{"type": "string", "format": "date-time"}, {"type": "string", "format": "date"}]
_MOMENT_SCHEMA = {"anyOf": _DATES, "description": "ISO 8601; without an offset it is UTC", "examples": ["2030-01-31"]}
_END_SCHEMA = _MOMENT_SCHEMA | {"description": "ISO 8601; a date alone means that the day is in it"}

Amount = Annotated[int, BeforeValidator(_amount), _amount_schema()]
PositiveAmount = Annotated[
    int, BeforeValidator(_amount), AfterValidator(_more_than_nothing), _amount_schema(exclusiveMinimum=0)
]
NonNegativeAmount = Annotated[int, BeforeValidator(_amount), AfterValidator(_not_negative), _amount_schema(minimum=0)]
Id = Annotated[UUID, BeforeValidator(_uuid), WithJsonSchema(_UUID_SCHEMA)]
Moment = Annotated[datetime, BeforeValidator(_moment), WithJsonSchema(_MOMENT_SCHEMA)]
End = Annotated[datetime, BeforeValidator(_end), WithJsonSchema(_END_SCHEMA)]
Name = Annotated[
    str,
    Field(min_length=1, max_length=MAX_NAME_CHARS),
    AfterValidator(plain_text),
    text_schema(MAX_NAME_CHARS, examples=["laptop"]),
]
Description = Annotated[
    str,
    Field(min_length=1, max_length=MAX_DESCRIPTION_CHARS),
    AfterValidator(plain_text),
    text_schema(MAX_DESCRIPTION_CHARS, description="why, for the books", examples=["welcome"]),
]
Model = Annotated[
    str,
    Field(min_length=1, max_length=MAX_MODEL_CHARS),
    AfterValidator(plain_text),
    text_schema(MAX_MODEL_CHARS, examples=["pipilot-1-chat"]),
]
