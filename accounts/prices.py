"""The price rows: read as a sheet, listed, added and switched off; and those that a new installation starts with.

A row that is there is never rewritten but to switch it off: usage refers to the row that it was priced by.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from accounts.admin_log import Act, record_act
from accounts.as_admin import as_admin
from accounts.as_user import as_user
from accounts.errors import InvalidRequest, PriceExists, PriceNotFound
from accounts.filters import MAX_LIMIT, MAX_MODEL_CHARS, check_limit, check_offset, check_text
from accounts.rates import Rates, columns_of, in_words, rates_of
from ledger.money import from_decimal
from ledger.rows import to_ms
from metering.pricing import Price, PriceSheet
from runtime.postgres import Connection, Pool
from runtime.sql import load_queries

_QUERIES = load_queries("accounts", "sql/prices.sql")

# Dollars per 1,000 tokens, in and out.
STARTING_PRICES = {
    "pipilot-1-chat": Decimal("0.025"),
    "pipilot-1-thinking": Decimal("0.025"),
    "pipilot-1-vision": Decimal("0.040"),
    "pipilot-1-code": Decimal("0.020"),
}
# More models than any catalogue lists; who prices more sees the first of them, by name.
MAX_MODELS = 10_000


@dataclass(frozen=True, slots=True)
class PriceRow:
    """`in_force`: requests that begin now are charged by it."""

    id: UUID
    model: str
    rates: Rates
    is_active: bool
    in_force: bool
    effective_from: datetime
    created_at: datetime


class Prices:
    """All methods raise InvalidRequest for bad input, runtime.postgres.UNAVAILABLE while Postgres is away."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def history(
        self, model: str | None = None, limit: int = MAX_LIMIT, offset: int = 0, *, only_in_force: bool = False
    ) -> list[PriceRow]:
        """A page of all rows, of one model or of every one; by model, the latest first."""
        check_limit(limit)
        check_offset(offset)
        if model is not None:
            check_text("model", model, MAX_MODEL_CHARS)
        async with as_admin(self._pool) as connection:
            return await _rows(connection, model, only_in_force=only_in_force, limit=limit, offset=offset)

    async def of_today(self, user_id: UUID) -> list[PriceRow]:
        """What a user is charged for each model now, by name."""
        async with as_user(self._pool, user_id) as connection:
            return await _rows(connection, only_in_force=True, limit=MAX_MODELS)

    async def set(
        self, model: str, rates: Rates, effective_from: datetime | None = None, *, by: str, reason: str
    ) -> PriceRow:
        """Add a row, in force from now or from its date on. Raises PriceExists where the model has one of that date."""
        check_text("model", model, MAX_MODEL_CHARS)
        async with self._pool.acquire() as connection, connection.transaction():
            before = await _in_force(connection, model)
            _check_date(effective_from, before)
            price_id = await connection.fetchval(_QUERIES["insert"], model, effective_from, *columns_of(rates))
            if price_id is None:
                raise PriceExists("the model has a price of that date")
            (made,) = await _rows(connection, price_id=price_id)
            facts = None if before is None else _facts(before)
            await record_act(connection, Act(by, "price.set", "price", str(made.id), None, facts, _facts(made), reason))
        return made

    async def deactivate(self, price_id: UUID, *, by: str, reason: str) -> tuple[PriceRow, PriceRow | None]:
        """Switch a row off; once more changes nothing. The row, and what the model costs now. Raises PriceNotFound."""
        async with self._pool.acquire() as connection, connection.transaction():
            is_changed = await connection.fetchval(_QUERIES["deactivate"], price_id) is not None
            found = await _rows(connection, price_id=price_id)
            if not found:
                raise PriceNotFound("there is no such price")
            row = found[0]
            if is_changed:
                facts = _facts(row)
                before, after = facts | {"is_active": True}, facts
                await record_act(
                    connection, Act(by, "price.deactivate", "price", str(row.id), None, before, after, reason)
                )
            return row, await _in_force(connection, row.model)


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
        audio_input_nanos_per_1k=from_decimal(row["audio_input"]),
        audio_output_nanos_per_1k=from_decimal(row["audio_output"]),
        image_nanos=from_decimal(row["image"]),
        audio_minute_nanos=from_decimal(row["audio_minute"]),
        request_fee_nanos=from_decimal(row["request_fee"]),
    )


async def _rows(
    connection: Connection,
    model: str | None = None,
    *,
    price_id: UUID | None = None,
    only_in_force: bool = False,
    limit: int = MAX_LIMIT,
    offset: int = 0,
) -> list[PriceRow]:
    found = await connection.fetch(_QUERIES["rows"], model, price_id, only_in_force, limit, offset)
    return [_price_row(row) for row in found]


async def _in_force(connection: Connection, model: str) -> PriceRow | None:
    found = await _rows(connection, model, only_in_force=True)
    return found[0] if found else None


def _check_date(effective_from: datetime | None, in_force: PriceRow | None) -> None:
    if effective_from is not None and in_force is not None and effective_from < in_force.effective_from:
        raise InvalidRequest("a later price is in force already; one of that date would never apply")


def _price_row(row: Any) -> PriceRow:
    return PriceRow(
        id=row["id"],
        model=row["model"],
        rates=rates_of(row),
        is_active=row["is_active"],
        in_force=row["in_force"],
        effective_from=_in_utc(row["effective_from"]),
        created_at=_in_utc(row["created_at"]),
    )


def _in_utc(moment: datetime) -> datetime:
    """`infinity` and `-infinity` come without a time zone, as the last and first of dates."""
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _facts(row: PriceRow) -> dict[str, Any]:
    """For the log of acts."""
    when = {"effective_from": row.effective_from, "is_active": row.is_active}
    return {"model": row.model} | when | in_words(row.rates)
