from fractions import Fraction
from math import floor
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from ledger.money import MAX_NANOS
from metering.pricing import Price, PriceSheet, cost_nanos, worst_cost_nanos, worst_text_nanos
from metering.usage import Usage

nanos = st.one_of(st.integers(0, 5000), st.integers(0, MAX_NANOS))
tokens = st.one_of(st.integers(0, 10), st.integers(0, 1_000_000_000))
# Of each kind: tokens, images, milliseconds of audio in a Usage; nano-dollars, and for how many of them.
KINDS = [
    ("input_tokens", "input_nanos_per_1k", 1000),
    ("cached_input_tokens", "cached_input_nanos_per_1k", 1000),
    ("cache_write_tokens", "cache_write_nanos_per_1k", 1000),
    ("output_tokens", "output_nanos_per_1k", 1000),
    ("reasoning_tokens", "reasoning_nanos_per_1k", 1000),
    ("audio_input_tokens", "audio_input_nanos_per_1k", 1000),
    ("audio_output_tokens", "audio_output_nanos_per_1k", 1000),
    ("images", "image_nanos", 1),
    ("audio_ms", "audio_minute_nanos", 60_000),
]
RATES = [rate for _, rate, _ in KINDS]
WHO: dict[str, Any] = {"pricing_id": UUID(int=1), "model": "m", "effective_from_ms": 0}
prices = st.builds(
    lambda amounts, fee: Price(**WHO, **dict(zip(RATES, amounts, strict=True)), request_fee_nanos=fee),
    st.lists(nanos, min_size=len(RATES), max_size=len(RATES)),
    nanos,
)
usages = st.builds(Usage, *[tokens] * len(KINDS))


def price(model: str, from_ms: int, fee: int = 0) -> Price:
    who = {"pricing_id": UUID(int=fee), "model": model, "effective_from_ms": from_ms}
    return Price(**(WHO | who | dict.fromkeys(RATES, 0)), request_fee_nanos=fee)


def same_for_all(amount: int, fee: int = 0, **others: int) -> Price:
    return Price(**(WHO | dict.fromkeys(RATES, amount) | others), request_fee_nanos=fee)


def exactly(usage: Usage, price: Price) -> Fraction:
    """Fee + usage x price, without any rounding."""
    parts = (Fraction(getattr(usage, kind) * getattr(price, rate), each) for kind, rate, each in KINDS)
    return price.request_fee_nanos + sum(parts, Fraction(0))


@given(usages, prices)
def test_the_cost_is_exact_but_for_one_rounding_half_up(usage: Usage, price: Price) -> None:
    assert cost_nanos(usage, price) == floor(exactly(usage, price) + Fraction(1, 2))


@given(tokens, tokens, prices)
def test_of_text_alone_the_worst_is_the_same_in_less_words(read: int, written: int, price: Price) -> None:
    assert worst_text_nanos(read, written, price) == worst_cost_nanos(read, written, price)


@given(usages, prices, st.sampled_from([kind for kind, _, _ in KINDS]))
def test_each_kind_is_priced_by_its_own_price(usage: Usage, price: Price, kind: str) -> None:
    alone = Usage(**{kind: getattr(usage, kind)})
    assert cost_nanos(alone, price) == floor(exactly(alone, price) + Fraction(1, 2))


def test_there_is_no_kind_of_usage_or_price_that_is_not_charged() -> None:
    assert list(Usage.__struct_fields__) == [kind for kind, _, _ in KINDS]
    assert set(Price.__struct_fields__) - WHO.keys() - {"request_fee_nanos"} == set(RATES)


def test_half_a_nano_is_rounded_up_once_for_all_kinds_together() -> None:
    rates = same_for_all(1)
    assert cost_nanos(Usage(499), rates) == 0
    assert cost_nanos(Usage(500), rates) == 1
    assert cost_nanos(Usage(250, 0, 0, 250), rates) == 1
    assert cost_nanos(Usage(499, 499, 499, 499, 499), rates) == 2
    # a quarter from tokens and a quarter from the minute are half a nano-dollar together
    assert cost_nanos(Usage(250, audio_ms=14_999), rates) == 0
    assert cost_nanos(Usage(250, audio_ms=15_000), rates) == 1


@pytest.mark.parametrize(
    ("audio_ms", "cost"), [(0, 0), (1, 100), (29_999, 2_999_900), (60_000, 6_000_000), (90_001, 9_000_100)]
)
def test_audio_is_charged_by_the_millisecond(audio_ms: int, cost: int) -> None:
    assert cost_nanos(Usage(audio_ms=audio_ms), same_for_all(0, audio_minute_nanos=6_000_000)) == cost


@given(usages, prices, st.tuples(*[tokens] * 6))
def test_no_split_into_kinds_costs_more_than_the_worst(
    usage: Usage, price: Price, more: tuple[int, int, int, int, int, int]
) -> None:
    inputs = usage.input_tokens + usage.cached_input_tokens + usage.cache_write_tokens
    outputs = usage.output_tokens + usage.reasoning_tokens
    heard, spoken = usage.audio_input_tokens, usage.audio_output_tokens
    least = (inputs, outputs, heard, spoken, usage.images, usage.audio_ms)
    for amounts in (least, tuple(a + b for a, b in zip(least, more, strict=True))):
        assert _worst(amounts, price) >= cost_nanos(usage, price)


@given(usages, prices)
def test_what_may_be_audio_and_is_not_costs_no_more_than_the_worst(usage: Usage, price: Price) -> None:
    """A server may count a spoken prompt as text."""
    inputs = usage.input_tokens + usage.cached_input_tokens + usage.cache_write_tokens
    outputs = usage.output_tokens + usage.reasoning_tokens
    silent = replace(usage, audio_input_tokens=0, audio_output_tokens=0)
    assert _worst((0, 0, inputs, outputs, usage.images, usage.audio_ms), price) >= cost_nanos(silent, price)


def _worst(amounts: tuple[int, ...], price: Price) -> int:
    inputs, outputs, heard, spoken, images, audio_ms = amounts
    return worst_cost_nanos(
        inputs, outputs, price,
        audio_input_tokens=heard, audio_output_tokens=spoken, images=images, audio_ms=audio_ms,
    )  # fmt: skip


def test_a_request_without_audio_is_not_held_at_the_price_of_audio() -> None:
    dear = same_for_all(1000, audio_input_nanos_per_1k=MAX_NANOS, audio_output_nanos_per_1k=MAX_NANOS)
    assert worst_cost_nanos(10, 20, dear) == 30


def test_the_worst_is_rounded_up() -> None:
    rates = same_for_all(0, 5, input_nanos_per_1k=1, output_nanos_per_1k=1)
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
