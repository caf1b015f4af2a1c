"""A cursor comes back as it went out, and nothing else is taken for one."""

import base64
from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts import cursors
from accounts.cursors import Listing, Position, Rank, decode_cursor, decode_rank, encode_cursor, encode_rank
from accounts.errors import InvalidRequest

ANN, BOB = UUID(int=1), UUID(int=2)
PLACE = Position(datetime(2026, 11, 22, 18, 30, 0, 123_456, UTC), 77)
CURSOR = encode_cursor(Listing.USAGE, ANN, PLACE)


def refused(cursor: str, user_id: UUID = ANN, listing: Listing = Listing.USAGE) -> None:
    with pytest.raises(InvalidRequest):
        decode_cursor(listing, user_id, cursor)


@given(st.datetimes(timezones=st.just(UTC)), st.integers(0, 2**128 - 1), st.uuids(), st.sampled_from(Listing))
def test_a_cursor_comes_back_to_the_microsecond(at: datetime, tie: int, user_id: UUID, listing: Listing) -> None:
    cursor = encode_cursor(listing, user_id, Position(at, tie))
    assert cursor.isascii() and cursor.replace("-", "").replace("_", "").isalnum()
    assert decode_cursor(listing, user_id, cursor) == Position(at, tie)


def test_another_users_cursor_is_refused() -> None:
    refused(CURSOR, BOB)


def test_another_lists_cursor_is_refused() -> None:
    refused(CURSOR, listing=Listing.TRANSACTIONS)


@given(st.integers(0, 8 * 48 - 1))
def test_one_changed_bit_is_noticed(bit: int) -> None:
    raw = int.from_bytes(base64.urlsafe_b64decode(CURSOR)) ^ (1 << bit)
    refused(base64.urlsafe_b64encode(raw.to_bytes(48)).decode())


@pytest.mark.parametrize(
    "cursor",
    ["", "x", CURSOR[:-1], CURSOR + "A", CURSOR + "====", " " + CURSOR[1:], CURSOR[:-1] + "\n", CURSOR[:-1] + "é",
     CURSOR[:-1] + "+", CURSOR[:-1] + "=", "A" * 64, "1" * 5_000_000],
)  # fmt: skip
def test_what_is_no_cursor_is_refused(cursor: str) -> None:
    refused(cursor)


@given(st.text(max_size=70))
def test_any_text_is_refused_as_bad_input(cursor: str) -> None:
    refused(cursor)


def test_a_time_beyond_the_calendar_is_refused() -> None:
    for micros in (2**63 - 1, -(2**63)):
        fields = cursors._LAYOUT.pack(Listing.USAGE, ANN.bytes, micros, bytes(16))
        refused(base64.urlsafe_b64encode(fields + cursors._checksum(fields)).decode())


def test_other_time_zones_are_the_same_moment() -> None:
    there = Position(PLACE.created_at.astimezone(timezone(timedelta(hours=5))), PLACE.tie)
    assert encode_cursor(Listing.USAGE, ANN, there) == CURSOR


@given(st.integers(-(2**63), 2**63 - 1), st.uuids())
def test_a_rank_comes_back_to_the_nano_dollar(nanos: int, user_id: UUID) -> None:
    cursor = encode_rank(Listing.USERS_BY_SPEND, Rank(nanos, user_id))
    assert decode_rank(Listing.USERS_BY_SPEND, cursor) == Rank(nanos, user_id)
    with pytest.raises(InvalidRequest):
        decode_rank(Listing.USERS_BY_BALANCE, cursor)


@given(st.text(max_size=70))
def test_any_text_is_refused_as_a_rank(cursor: str) -> None:
    for wrong in (cursor, CURSOR):
        with pytest.raises(InvalidRequest):
            decode_rank(Listing.USERS_BY_SPEND, wrong)
