from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.money import MAX_NANOS, MoneyError, format_dollars, from_decimal, parse_dollars, to_decimal

nanos = st.integers(-MAX_NANOS, MAX_NANOS)


@given(nanos)
def test_what_is_written_is_read_back(amount: int) -> None:
    assert parse_dollars(format_dollars(amount)) == amount


@given(nanos)
def test_a_decimal_holds_it_exactly(amount: int) -> None:
    assert from_decimal(to_decimal(amount)) == amount


@given(nanos)
def test_plain_notation_without_trailing_zeros(amount: int) -> None:
    text = format_dollars(amount)
    assert Decimal(text) == to_decimal(amount)
    assert "e" not in text.lower() and not ("." in text and text.endswith(("0", ".")))


@given(st.integers(1, 10**30))
def test_a_tenth_decimal_is_refused(amount: int) -> None:
    with pytest.raises(MoneyError):
        parse_dollars(Decimal(amount * 10 + 1).scaleb(-10))


@pytest.mark.parametrize("text", ["NaN", "-NaN", "sNaN", "Infinity", "1e309", "", "ten", "9000000.000000001", "1,5"])
def test_not_an_amount(text: str) -> None:
    with pytest.raises(MoneyError):
        parse_dollars(text)


@pytest.mark.parametrize("number", [Decimal("1E+99999999999999"), Decimal("-1E+99999999999999"), 10**5000], ids=hash)
def test_a_number_too_large_to_compute_with_is_out_of_range_too(number: int | Decimal) -> None:
    with pytest.raises(MoneyError):
        parse_dollars(number)


@pytest.mark.parametrize(
    ("text", "amount"), [("0.0125", 12_500_000), ("1e-9", 1), ("-3.5", -3_500_000_000), ("9000000", MAX_NANOS)]
)
def test_an_amount(text: str, amount: int) -> None:
    assert parse_dollars(text) == amount
