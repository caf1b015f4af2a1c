"""Where a page ended, as an opaque text: by a time or an amount and, among equals, a number.

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
_NOBODY = UUID(int=0)
# list, owner, microseconds since 1970 or nano-dollars, tie; then a checksum, whose size spares base64 its padding.
_LAYOUT = struct.Struct("!B16sq16s")
_CHECKSUM_BYTES = 7
_CURSOR_CHARS = (_LAYOUT.size + _CHECKSUM_BYTES) * 4 // 3
assert (_LAYOUT.size + _CHECKSUM_BYTES) % 3 == 0


class Listing(IntEnum):
    """The lists that are paged. The numbers are part of every cursor that is out."""

    TRANSACTIONS = 1
    USAGE = 2
    ADMIN_LOG = 3
    USERS_BY_BALANCE = 4
    USERS_BY_SPEND = 5
    EVENTS = 6


@dataclass(frozen=True, slots=True)
class Position:
    """The last row of a page; the next page begins with the row that is older. `tie` is a number of 128 bits."""

    created_at: datetime
    tie: int


@dataclass(frozen=True, slots=True)
class Rank:
    """The last row of a page of users: nano-dollars, which 64 bits hold up to nine billion dollars, and whose."""

    nanos: int
    user_id: UUID


def encode_cursor(listing: Listing, user_id: UUID, position: Position) -> str:
    return _encode(listing, user_id, (position.created_at - _EPOCH) // _MICROSECOND, position.tie)


def encode_rank(listing: Listing, rank: Rank) -> str:
    """For a list that is an administrator's, and no user's own."""
    return _encode(listing, _NOBODY, rank.nanos, rank.user_id.int)


def decode_cursor(listing: Listing, user_id: UUID, cursor: str) -> Position:
    """Raises InvalidRequest for anything that `encode_cursor` did not make for this list of this user."""
    micros, tie = _decode(listing, user_id, cursor)
    try:
        return Position(_EPOCH + timedelta(microseconds=micros), tie)
    except OverflowError:
        raise _not_ours() from None


def decode_rank(listing: Listing, cursor: str) -> Rank:
    """Raises InvalidRequest for anything that `encode_rank` did not make for this list."""
    nanos, tie = _decode(listing, _NOBODY, cursor)
    return Rank(nanos, UUID(int=tie))


def _encode(listing: Listing, owner: UUID, number: int, tie: int) -> str:
    fields = _LAYOUT.pack(listing, owner.bytes, number, tie.to_bytes(16))
    return base64.urlsafe_b64encode(fields + _checksum(fields)).decode()


def _decode(listing: Listing, owner: UUID, cursor: str) -> tuple[int, int]:
    fields = _checked_bytes(cursor)
    kind, found_owner, number, tie = _LAYOUT.unpack(fields)
    if kind != listing or found_owner != owner.bytes:
        raise _not_ours()
    return number, int.from_bytes(tie)


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
