"""Which rows of an account are asked for, and how many; checked here, whoever asks."""

import unicodedata
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from accounts.errors import InvalidRequest

MAX_LIMIT = 1000
# Rows skipped by an offset are read all the same; who wants to go deeper pages by cursor.
MAX_OFFSET = 10_000
MAX_MODEL_CHARS = 200
# Wide of anything that can be in the books, and a day short of what dates can hold.
FIRST_YEAR, LAST_YEAR = 1900, 9999


@dataclass(frozen=True, slots=True)
class Filter:
    """`start` <= created_at < `end`; None is no bound. Raises InvalidRequest for what no row could match."""

    start: datetime | None = None
    end: datetime | None = None
    model: str | None = None
    key_id: UUID | None = None

    def __post_init__(self) -> None:
        for name, moment in (("startDate", self.start), ("endDate", self.end)):
            if moment is not None:
                _check_moment(name, moment)
        if self.start is not None and self.end is not None and self.start > self.end:
            raise InvalidRequest("endDate: must not be before startDate")
        if self.model is not None:
            check_text("model", self.model, MAX_MODEL_CHARS)


def check_limit(limit: int) -> int:
    return _check_count("limit", limit, 1, MAX_LIMIT)


def check_offset(offset: int) -> int:
    return _check_count("offset", offset, 0, MAX_OFFSET)


def _check_count(name: str, value: int, least: int, most: int) -> int:
    if type(value) is not int or not least <= value <= most:
        raise InvalidRequest(f"{name}: must be a whole number from {least} to {most}")
    return value


def _check_moment(name: str, moment: datetime) -> None:
    if moment.tzinfo is None:
        raise InvalidRequest(f"{name}: must be a time with an offset")
    # before the comparison in UTC, which the first and last hours of the calendar do not survive
    if not FIRST_YEAR < moment.year < LAST_YEAR:
        raise InvalidRequest(f"{name}: is out of range")


def check_text(name: str, text: str, most_chars: int) -> str:
    if not 1 <= len(text) <= most_chars:
        raise InvalidRequest(f"{name}: must be 1 to {most_chars} characters")
    # neither of which Postgres can be sent: NUL, and half a surrogate pair
    if any(unicodedata.category(char) in ("Cc", "Cs") for char in text):
        raise InvalidRequest(f"{name}: must be plain text")
    return text
