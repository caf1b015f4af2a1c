from fractions import Fraction
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from ledger.money import MAX_NANOS
from metering.pricing import Price, PriceSheet, cost_nanos, worst_cost_nanos
from metering.usage import Usage

nanos = st.one_of(st.integers(0, 5000), st.integers(0, MAX_NANOS))
tokens = st.one_of(st.integers(0, 10), st.integers(0, 1_000_000_000))
prices = st.builds(Price, st.just(UUID(int=1)), st.just("m"), st.just(0), nanos, nanos, nanos, nanos, nanos, nanos)
usages = st.builds(Usage, tokens, tokens, tokens, tokens, tokens)


def price(model: str, from_ms: int, fee: int = 0) -> Price:
    return Price(UUID(int=fee), model, from_ms, 0, 0, 0, 0, 0, fee)


@given(usages, prices)
def test_the_cost_is_exact_but_for_one_rounding_half_up(usage: Usage, price: Price) -> None:
    exact = price.request_fee_nanos + sum(
        Fraction(count * rate, 1000)
        for count, rate in [
            (usage.input_tokens, price.input_nanos_per_1k),
            (usage.cached_input_tokens, price.cached_input_nanos_per_1k),
            (usage.cache_write_tokens, price.cache_write_nanos_per_1k),
            (usage.output_tokens, price.output_nanos_per_1k),
            (usage.reasoning_tokens, price.reasoning_nanos_per_1k),
        ]
    )
    assert -Fraction(1, 2) < cost_nanos(usage, price) - exact <= Fraction(1, 2)


def test_half_a_nano_is_rounded_up_once_for_all_kinds_together() -> None:
    rates = Price(UUID(int=1), "m", 0, 1, 1, 1, 1, 1, 0)
    assert cost_nanos(Usage(499), rates) == 0
    assert cost_nanos(Usage(500), rates) == 1
    assert cost_nanos(Usage(250, 0, 0, 250), rates) == 1
    assert cost_nanos(Usage(499, 499, 499, 499, 499), rates) == 2


@given(usages, prices, tokens, tokens)
def test_no_split_into_kinds_costs_more_than_the_worst(usage: Usage, price: Price, more: int, even_more: int) -> None:
    inputs = usage.input_tokens + usage.cached_input_tokens + usage.cache_write_tokens
    outputs = usage.output_tokens + usage.reasoning_tokens
    assert worst_cost_nanos(inputs, outputs, price) >= cost_nanos(usage, price)
    assert worst_cost_nanos(inputs + more, outputs + even_more, price) >= cost_nanos(usage, price)


def test_the_worst_is_rounded_up() -> None:
    rates = Price(UUID(int=1), "m", 0, 1, 0, 0, 1, 0, 5)
    assert worst_cost_nanos(0, 0, rates) == 5
    assert worst_cost_nanos(1, 0, rates) == worst_cost_nanos(500, 500, rates) == 6


@given(st.lists(st.integers(0, 20), max_size=6), st.integers(-1, 21))
def test_the_row_in_force_is_the_latest_whose_date_has_come(dates: list[int], now_ms: int) -> None:
    sheet = PriceSheet([price("m", at, fee=at) for at in dates] + [price("other", 0)])
    found = sheet.in_force("m", now_ms)
    come = [at for at in dates if at <= now_ms]
    assert (found.effective_from_ms if found else None) == (max(come) if come else None)


def test_a_model_without_a_price_in_force_is_not_listed() -> None:
    sheet = PriceSheet([price("b", 0), price("a", 5), price("c", 10)])
    assert sheet.models(5) == ["a", "b"]
    assert sheet.in_force("unknown", 5) is None
