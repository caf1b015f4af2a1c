"""What the fields of a request may be, and what they may not."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from accounts.api.fields import MAX_NAME_CHARS, Amount, Body, End, Id, Moment, Name, NonNegativeAmount, PositiveAmount
from ledger.money import MAX_NANOS, format_dollars


class Paid(Body):
    amount: Amount


class Bounded(Body):
    more_than_nothing: PositiveAmount = 1
    not_negative: NonNegativeAmount = 0


@pytest.mark.parametrize("fields", [{"more_than_nothing": 1}, {"not_negative": 0}, {"not_negative": Decimal("1e-9")}])
def test_an_amount_within_its_bounds(fields: dict[str, Any]) -> None:
    assert Bounded(**fields).model_fields_set == fields.keys()


@pytest.mark.parametrize(
    "fields", [{"more_than_nothing": 0}, {"more_than_nothing": -1}, {"not_negative": Decimal("-1e-9")}]
)
def test_an_amount_beyond_its_bounds(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Bounded(**fields)


class Of(Body):
    id: Id


class When(Body):
    at: Moment


class Called(Body):
    name: Name


@given(st.integers(min_value=-MAX_NANOS, max_value=MAX_NANOS))
def test_an_amount_is_exact(nanos: int) -> None:
    assert Paid(amount=Decimal(format_dollars(nanos))).amount == nanos  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "amount",
    [
        "5",
        5.0,
        True,
        None,
        [5],
        Decimal("NaN"),
        Decimal("Infinity"),
        Decimal("1E+309"),
        Decimal("0.0000000001"),
        10**30,
    ],
    ids=repr,
)
def test_what_is_no_amount(amount: Any) -> None:
    with pytest.raises(ValidationError):
        Paid(amount=amount)


@pytest.mark.parametrize("text", ["0B0B0B0B-0000-4000-8000-000000000002", "0b0b0b0b-0000-4000-8000-000000000002"])
def test_an_id_is_a_uuid_as_it_is_commonly_written(text: str) -> None:
    assert Of(id=text).id == UUID(text)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        5,
        None,
        "{0b0b0b0b-0000-4000-8000-000000000002}",
        "urn:uuid:0b0b0b0b-0000-4000-8000-000000000002",
        "0" * 32,
    ],
    ids=repr,
)
def test_what_is_no_id(text: Any) -> None:
    with pytest.raises(ValidationError):
        Of(id=text)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-11-22", datetime(2026, 11, 22, tzinfo=UTC)),
        ("2026-11-22T10:00:00", datetime(2026, 11, 22, 10, tzinfo=UTC)),
        ("2026-11-22T10:00:00+02:00", datetime(2026, 11, 22, 8, tzinfo=UTC)),
        ("2026-11-22T10:00:00Z", datetime(2026, 11, 22, 10, tzinfo=UTC)),
    ],
)
def test_a_moment_without_an_offset_is_in_utc(text: str, moment: datetime) -> None:
    assert When(at=text).at == moment  # type: ignore[arg-type]


class Until(Body):
    end: End


def test_a_period_that_ends_on_a_day_has_that_day_in_it() -> None:
    assert Until(end="2026-11-22").end == datetime(2026, 11, 23, tzinfo=UTC)  # type: ignore[arg-type]
    with pytest.raises(ValidationError):
        Until(end="9999-12-31")  # type: ignore[arg-type]
    assert Until(end="2026-11-22T00:00:00").end == datetime(2026, 11, 22, tzinfo=UTC)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        5,
        None,
        "2026-13-01",
        "0001-01-01T00:00:00+14:00",
        "20261122",
        "2026-W47-7",
        "2026-11-22T10",
        "\uff12026-11-22",
    ],
    ids=repr,
)
def test_what_is_no_moment(text: Any) -> None:
    with pytest.raises(ValidationError):
        When(at=text)


@pytest.mark.parametrize("text", ["Schlüssel", "鍵", "🔑", "'; DROP TABLE x; --", "a" * MAX_NAME_CHARS])
def test_a_name_may_be_in_any_language(text: str) -> None:
    assert Called(name=text).name == text


def test_space_around_a_name_is_dropped() -> None:
    assert Called(name="  my laptop ").name == "my laptop"


@pytest.mark.parametrize(
    "text", ["", "   ", "a\x00b", "a\nb", "\ud800", "a\u202eb", "a" * (MAX_NAME_CHARS + 1), 5, None]
)
def test_what_is_no_name(text: Any) -> None:
    with pytest.raises(ValidationError):
        Called(name=text)


def test_an_unknown_field_is_a_mistake() -> None:
    with pytest.raises(ValidationError):
        Called(name="x", colour="red")  # type: ignore[call-arg]
