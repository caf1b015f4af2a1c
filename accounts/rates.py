"""What one price row asks for each kind of usage, as it was set: what was left open is None, which is not 0."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from decimal import Decimal
from typing import Any

from accounts.errors import InvalidRequest
from ledger.money import MAX_NANOS, NANOS_PER_DOLLAR, format_dollars, from_decimal, to_decimal

# Field -> column of ai_pricing, in the order in which the query `insert` takes them.
COLUMNS = {
    "input_nanos_per_1k": "input_price_per_1k_tokens",
    "output_nanos_per_1k": "output_price_per_1k_tokens",
    "cached_input_nanos_per_1k": "cached_input_price_per_1k_tokens",
    "cache_write_nanos_per_1k": "cache_write_price_per_1k_tokens",
    "reasoning_nanos_per_1k": "reasoning_price_per_1k_tokens",
    "audio_input_nanos_per_1k": "audio_input_price_per_1k_tokens",
    "audio_output_nanos_per_1k": "audio_output_price_per_1k_tokens",
    "image_nanos": "image_price",
    "audio_minute_nanos": "audio_minute_price",
    "request_fee_nanos": "base_request_fee",
}


@dataclass(frozen=True, slots=True)
class Rates:
    """Nano-dollars per 1,000 tokens of each kind, per image, per minute of audio, per request.

    None: cached input, cache writes and audio input cost as input, reasoning and audio output as output; images and
    minutes of audio cost nothing beside their tokens. Raises InvalidRequest for what is no price.
    """

    input_nanos_per_1k: int
    output_nanos_per_1k: int
    cached_input_nanos_per_1k: int | None = None
    cache_write_nanos_per_1k: int | None = None
    reasoning_nanos_per_1k: int | None = None
    audio_input_nanos_per_1k: int | None = None
    audio_output_nanos_per_1k: int | None = None
    image_nanos: int | None = None
    audio_minute_nanos: int | None = None
    request_fee_nanos: int = 0

    def __post_init__(self) -> None:
        for name, nanos in asdict(self).items():
            if nanos is not None and not 0 <= nanos <= MAX_NANOS:
                raise InvalidRequest(f"{COLUMNS[name]}: must be 0 to {MAX_NANOS // NANOS_PER_DOLLAR} dollars")

    def resolved(self) -> "Rates":
        """What is charged: nothing is None."""
        left_open = {
            "cached_input_nanos_per_1k": self.input_nanos_per_1k,
            "cache_write_nanos_per_1k": self.input_nanos_per_1k,
            "reasoning_nanos_per_1k": self.output_nanos_per_1k,
            "audio_input_nanos_per_1k": self.input_nanos_per_1k,
            "audio_output_nanos_per_1k": self.output_nanos_per_1k,
            "image_nanos": 0,
            "audio_minute_nanos": 0,
        }
        return replace(self, **{name: nanos for name, nanos in left_open.items() if getattr(self, name) is None})


def columns_of(rates: Rates) -> list[Decimal | None]:
    """Dollars, in the order of COLUMNS."""
    found = (getattr(rates, name) for name in COLUMNS)
    return [None if nanos is None else to_decimal(nanos) for nanos in found]


def rates_of(row: Mapping[str, Any]) -> Rates:
    """From a row with these columns."""
    nanos: dict[str, Any] = {
        name: None if row[column] is None else from_decimal(row[column]) for name, column in COLUMNS.items()
    }
    return Rates(**nanos)


def in_words(rates: Rates) -> dict[str, str]:
    """Column -> dollars as text; what was left open is not there."""
    return {COLUMNS[name]: format_dollars(nanos) for name, nanos in asdict(rates).items() if nanos is not None}
