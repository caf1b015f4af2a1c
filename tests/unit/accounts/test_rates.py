"""What a price row asks for: exact on its way to Postgres and back, and nothing that is no price."""

from dataclasses import asdict, fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts.errors import InvalidRequest
from accounts.rates import COLUMNS, Rates, columns_of, in_words, rates_of
from ledger.money import MAX_NANOS, parse_dollars

nanos = st.integers(0, MAX_NANOS)
open_or_nanos = st.none() | nanos
all_rates = st.builds(Rates, nanos, nanos, *[open_or_nanos] * 7, nanos)


def test_each_price_has_a_column_of_its_own() -> None:
    assert [field.name for field in fields(Rates)] == list(COLUMNS)
    assert len(set(COLUMNS.values())) == len(COLUMNS)


@given(all_rates)
def test_to_postgres_and_back(rates: Rates) -> None:
    assert rates_of(dict(zip(COLUMNS.values(), columns_of(rates), strict=True))) == rates


@given(all_rates)
def test_what_was_left_open_costs_as_its_kind_or_nothing(rates: Rates) -> None:
    found = rates.resolved()
    for name, given_nanos in asdict(rates).items():
        if given_nanos is not None:
            assert getattr(found, name) == given_nanos
    assert None not in asdict(found).values()
    assert found.resolved() == found


def test_open_input_kinds_cost_as_input_and_output_kinds_as_output() -> None:
    assert Rates(5, 7).resolved() == Rates(5, 7, 5, 5, 7, 5, 7, 0, 0, 0)
    assert Rates(5, 7, 0, image_nanos=3).resolved() == Rates(5, 7, 0, 5, 7, 5, 7, 3, 0, 0)


@given(all_rates)
def test_in_words_it_is_exact_and_what_was_left_open_is_not_there(rates: Rates) -> None:
    said = {column: parse_dollars(text) for column, text in in_words(rates).items()}
    assert said == {COLUMNS[name]: value for name, value in asdict(rates).items() if value is not None}


@pytest.mark.parametrize("name", list(COLUMNS))
@pytest.mark.parametrize("amount", [-1, MAX_NANOS + 1])
def test_what_is_no_price_is_refused(name: str, amount: int) -> None:
    with pytest.raises(InvalidRequest, match=COLUMNS[name]):
        Rates(**({"input_nanos_per_1k": 0, "output_nanos_per_1k": 0} | {name: amount}))
