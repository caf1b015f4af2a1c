"""What the fields of a request may be. Strict: a number in quotes is no number, an unknown field is a mistake."""

import unicodedata
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any
from uuid import UUID

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from ledger.money import MoneyError, Nanos, parse_dollars

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


def _text(value: str) -> str:
    if any(unicodedata.category(char) in _REFUSED_CATEGORIES for char in value):
        raise ValueError("must be plain text without control characters")
    if not value.strip():
        raise ValueError("must not be blank")
    return value.strip()


def _uuid(value: Any) -> UUID:
    if isinstance(value, str):
        try:
            parsed = UUID(value)
        except ValueError:
            parsed = None
        if parsed is not None and str(parsed) == value.lower():
            return parsed
    raise ValueError("must be a UUID")


def _moment(value: Any) -> datetime:
    """ISO 8601; a date alone is its first moment, and without an offset it is UTC."""
    if isinstance(value, str):
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


Amount = Annotated[int, BeforeValidator(_amount)]
Id = Annotated[UUID, BeforeValidator(_uuid)]
Moment = Annotated[datetime, BeforeValidator(_moment)]
End = Annotated[datetime, BeforeValidator(_end)]
Name = Annotated[str, Field(min_length=1, max_length=MAX_NAME_CHARS), AfterValidator(_text)]
Description = Annotated[str, Field(min_length=1, max_length=MAX_DESCRIPTION_CHARS), AfterValidator(_text)]
