"""What usage costs: the price rows as integers, the row in force at a moment, and one named rounding."""

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from ledger.money import Nanos
from metering.usage import Usage


@dataclass(frozen=True, slots=True)
class Price:
    """One price row: nano-dollars per 1,000 tokens of each kind, plus a fee per request, from a date on."""

    pricing_id: UUID
    model: str
    effective_from_ms: int
    input_nanos_per_1k: int
    cached_input_nanos_per_1k: int
    cache_write_nanos_per_1k: int
    output_nanos_per_1k: int
    reasoning_nanos_per_1k: int
    request_fee_nanos: int


def cost_nanos(usage: Usage, price: Price) -> Nanos:
    """Fee + usage x price. The kinds are added up first and divided once; half a nano-dollar is rounded up."""
    thousandths = (
        usage.input_tokens * price.input_nanos_per_1k
        + usage.cached_input_tokens * price.cached_input_nanos_per_1k
        + usage.cache_write_tokens * price.cache_write_nanos_per_1k
        + usage.output_tokens * price.output_nanos_per_1k
        + usage.reasoning_tokens * price.reasoning_nanos_per_1k
    )
    return Nanos(price.request_fee_nanos + (thousandths + 500) // 1000)


def worst_cost_nanos(input_tokens: int, output_tokens: int, price: Price) -> Nanos:
    """The most that so many tokens can cost, whichever kinds they turn out to be: what a hold is made of."""
    dearest_input = max(price.input_nanos_per_1k, price.cached_input_nanos_per_1k, price.cache_write_nanos_per_1k)
    dearest_output = max(price.output_nanos_per_1k, price.reasoning_nanos_per_1k)
    thousandths = input_tokens * dearest_input + output_tokens * dearest_output
    return Nanos(price.request_fee_nanos + -(-thousandths // 1000))


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
