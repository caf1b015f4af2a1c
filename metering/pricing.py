"""What usage costs: the price rows as integers, the row in force at a moment, and one named rounding."""

from bisect import bisect_right
from collections.abc import Iterable
from uuid import UUID

from msgspec import Struct

from metering.usage import Usage


class Price(Struct, frozen=True):
    """One price row, from a date on: nano-dollars per 1,000 tokens of each kind, per image, per minute of audio, and a
    fee per request.
    """

    pricing_id: UUID
    model: str
    effective_from_ms: int
    input_nanos_per_1k: int
    cached_input_nanos_per_1k: int
    cache_write_nanos_per_1k: int
    output_nanos_per_1k: int
    reasoning_nanos_per_1k: int
    audio_input_nanos_per_1k: int
    audio_output_nanos_per_1k: int
    image_nanos: int
    audio_minute_nanos: int
    request_fee_nanos: int


# The smallest whole unit of all prices: 1/1,000 of a token price, 1/60,000 of a minute's.
_SHARES = 60_000
_SHARES_PER_TOKEN = _SHARES // 1000


def cost_nanos(usage: Usage, price: Price) -> int:
    """Fee + usage x price. The kinds are added up first and divided once; half a nano-dollar is rounded up."""
    per_1k = (
        usage.input_tokens * price.input_nanos_per_1k
        + usage.cached_input_tokens * price.cached_input_nanos_per_1k
        + usage.cache_write_tokens * price.cache_write_nanos_per_1k
        + usage.output_tokens * price.output_nanos_per_1k
        + usage.reasoning_tokens * price.reasoning_nanos_per_1k
        + usage.audio_input_tokens * price.audio_input_nanos_per_1k
        + usage.audio_output_tokens * price.audio_output_nanos_per_1k
    )
    shares = per_1k * _SHARES_PER_TOKEN + usage.audio_ms * price.audio_minute_nanos
    return _whole(usage.images, price) + (shares + _SHARES // 2) // _SHARES


def worst_cost_nanos(
    input_tokens: int,
    output_tokens: int,
    price: Price,
    *,
    audio_input_tokens: int = 0,
    audio_output_tokens: int = 0,
    images: int = 0,
    audio_ms: int = 0,
) -> int:
    """The most that so much can cost, whichever kinds the tokens turn out to be: what a hold is made of.

    Tokens that may be audio are given apart: on most models they cost many times what text does, and a hold at that
    price for requests that have none would refuse what a wallet can pay.
    """
    dearest_input = max(price.input_nanos_per_1k, price.cached_input_nanos_per_1k, price.cache_write_nanos_per_1k)
    dearest_output = max(price.output_nanos_per_1k, price.reasoning_nanos_per_1k)
    per_1k = (
        input_tokens * dearest_input
        + output_tokens * dearest_output
        + audio_input_tokens * max(dearest_input, price.audio_input_nanos_per_1k)
        + audio_output_tokens * max(dearest_output, price.audio_output_nanos_per_1k)
    )
    shares = per_1k * _SHARES_PER_TOKEN + audio_ms * price.audio_minute_nanos
    return _whole(images, price) + -(-shares // _SHARES)


def worst_text_nanos(input_tokens: int, output_tokens: int, price: Price) -> int:
    """The same where there is nothing but text, as with most requests."""
    dearest_input = max(price.input_nanos_per_1k, price.cached_input_nanos_per_1k, price.cache_write_nanos_per_1k)
    dearest_output = max(price.output_nanos_per_1k, price.reasoning_nanos_per_1k)
    return price.request_fee_nanos - (-(input_tokens * dearest_input + output_tokens * dearest_output) // 1000)


def _whole(images: int, price: Price) -> int:
    """What is priced by the piece, and so never rounded."""
    return price.request_fee_nanos + images * price.image_nanos


class PriceSheet:
    """All active price rows; frozen once built, replaced whole."""

    def __init__(self, prices: Iterable[Price]) -> None:
        self._by_model: dict[str, list[Price]] = {}
        for price in sorted(prices, key=lambda p: p.effective_from_ms):
            self._by_model.setdefault(price.model, []).append(price)

    def in_force(self, model: str, now_ms: int) -> Price | None:
        """The latest row whose date has come, or None: the model has no price."""
        rows = self._by_model.get(model, [])
        index = bisect_right(rows, now_ms, key=lambda p: p.effective_from_ms)
        return rows[index - 1] if index else None

    def models(self, now_ms: int) -> list[str]:
        """The models that have a price now, by name."""
        return sorted(m for m in self._by_model if self.in_force(m, now_ms) is not None)
