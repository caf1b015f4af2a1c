"""Where a page ended, as an opaque text: newest first, by the time and, among equals, a number.

A cursor belongs to one user and one list. It holds nothing secret and grants nothing: whatever it says, the query
behind it finds the caller's own rows only. It is read strictly all the same, so that a damaged one is an error and
not a page from somewhere else.
"""

import base64
import binascii
import hashlib
import struct
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import IntEnum
from uuid import UUID

from accounts.errors import InvalidRequest

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
# list, owner, microseconds since 1970, tie; then a checksum, whose size spares base64 its padding.
_LAYOUT = struct.Struct("!B16sq16s")
_CHECKSUM_BYTES = 7
_CURSOR_CHARS = (_LAYOUT.size + _CHECKSUM_BYTES) * 4 // 3
assert (_LAYOUT.size + _CHECKSUM_BYTES) % 3 == 0


class Listing(IntEnum):
    """The lists that are paged. The numbers are part of every cursor that is out."""

    TRANSACTIONS = 1
    USAGE = 2


@dataclass(frozen=True, slots=True)
class Position:
    """The last row of a page; the next page begins with the row that is older. `tie` is a number of 128 bits."""

    created_at: datetime
    tie: int


def encode_cursor(listing: Listing, user_id: UUID, position: Position) -> str:
    micros = (position.created_at - _EPOCH) // _MICROSECOND
    fields = _LAYOUT.pack(listing, user_id.bytes, micros, position.tie.to_bytes(16))
    return base64.urlsafe_b64encode(fields + _checksum(fields)).decode()


def decode_cursor(listing: Listing, user_id: UUID, cursor: str) -> Position:
    """Raises InvalidRequest for anything that `encode_cursor` did not make for this list of this user."""
    fields = _checked_bytes(cursor)
    kind, owner, micros, tie = _LAYOUT.unpack(fields)
    if kind != listing or owner != user_id.bytes:
        raise _not_ours()
    try:
        return Position(_EPOCH + timedelta(microseconds=micros), int.from_bytes(tie))
    except OverflowError:
        raise _not_ours() from None


def _checked_bytes(cursor: str) -> bytes:
    if len(cursor) != _CURSOR_CHARS or not cursor.isascii():
        raise _not_ours()
    try:
        raw = base64.b64decode(cursor, altchars=b"-_", validate=True)
    except binascii.Error:
        raise _not_ours() from None
    fields, checksum = raw[: _LAYOUT.size], raw[_LAYOUT.size :]
    if len(fields) != _LAYOUT.size or checksum != _checksum(fields):
        raise _not_ours()
    return fields


def _checksum(fields: bytes) -> bytes:
    return hashlib.sha256(fields).digest()[:_CHECKSUM_BYTES]


def _not_ours() -> InvalidRequest:
    return InvalidRequest("cursor: is not one that was given out for this list")
