"""The price rows: read as a sheet, and the prices that a new installation starts with."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from ledger.money import from_decimal
from ledger.rows import to_ms
from metering.pricing import Price, PriceSheet
from runtime.postgres import Pool
from runtime.sql import load_queries

_QUERIES = load_queries("accounts", "sql/prices.sql")

# Dollars per 1,000 tokens, in and out.
STARTING_PRICES = {
    "pipilot-1-chat": Decimal("0.025"),
    "pipilot-1-thinking": Decimal("0.025"),
    "pipilot-1-vision": Decimal("0.040"),
    "pipilot-1-code": Decimal("0.020"),
}


async def read_sheet(pool: Pool) -> PriceSheet:
    """Every active price row. Raises runtime.postgres.UNAVAILABLE."""
    return PriceSheet([_price(row) for row in await pool.fetch(_QUERIES["active"])])


async def offer(pool: Pool, prices: Mapping[str, Decimal]) -> None:
    """Price these models, each at the same dollars per 1,000 tokens in and out, unless they ever had a price."""
    async with pool.acquire() as connection, connection.transaction():
        for model, dollars in prices.items():
            await connection.execute(_QUERIES["offer"], model, dollars)


def _price(row: Any) -> Price:
    return Price(
        pricing_id=row["id"],
        model=row["model"],
        effective_from_ms=to_ms(row["effective_from"]),
        input_nanos_per_1k=from_decimal(row["input"]),
        cached_input_nanos_per_1k=from_decimal(row["cached_input"]),
        cache_write_nanos_per_1k=from_decimal(row["cache_write"]),
        output_nanos_per_1k=from_decimal(row["output"]),
        reasoning_nanos_per_1k=from_decimal(row["reasoning"]),
        request_fee_nanos=from_decimal(row["request_fee"]),
    )
