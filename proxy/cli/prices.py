"""Prices: listed, set from now or from a date on, switched off, tried on past usage. Running proxies follow at once."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import click

from accounts.prices import PriceRow, Prices
from accounts.rates import COLUMNS, Rates, in_words
from proxy.backends import open_pool
from proxy.cli.options import Moment, config_option, json_dollars, json_option, operator, print_result, run
from proxy.cli.price_file import Price
from proxy.cli.price_trial import try_price
from runtime.config import load_as
from runtime.settings import DatabaseConfig


@asynccontextmanager
async def _prices(path: Path | None) -> AsyncIterator[Prices]:
    pool = await open_pool(load_as(DatabaseConfig, path).database, "farebox-cli")
    try:
        yield Prices(pool)
    finally:
        await pool.close()


@click.group()
def prices() -> None:
    """What models cost."""


@prices.command("list")
@click.option("--model", help="Only this one.")
@click.option("--in-force", "only_in_force", is_flag=True, help="Only what is charged now.")
@config_option
@json_option
def list_prices(model: str | None, only_in_force: bool, config: Path | None, as_json: bool) -> None:
    """All prices: those in force, before, and to come. By model, the latest first; at most 1,000."""

    async def work() -> list[PriceRow]:
        async with _prices(config) as prices:
            return await prices.history(model, only_in_force=only_in_force)

    rows = run(work())
    print_result([_json(row) for row in rows], as_json, "\n".join(map(_line, rows)) or "no prices")


_REASON = click.option("--reason", required=True, help="Why, for the log.")
# Options that may be left out: name, field of Rates, help.
_KINDS = (
    ("--cached-input", "cached_input_nanos_per_1k", "Per 1,000 cached input tokens; else as input."),
    ("--cache-write", "cache_write_nanos_per_1k", "Per 1,000 tokens written to a cache; else as input."),
    ("--reasoning", "reasoning_nanos_per_1k", "Per 1,000 reasoning tokens; else as output."),
    ("--audio-input", "audio_input_nanos_per_1k", "Per 1,000 audio tokens in; else as input."),
    ("--audio-output", "audio_output_nanos_per_1k", "Per 1,000 audio tokens out; else as output."),
    ("--image", "image_nanos", "Per image, beside its tokens."),
    ("--audio-minute", "audio_minute_nanos", "Per minute of audio, beside its tokens; charged by the millisecond."),
)


def _rate_options(command: Any) -> Any:
    command = click.option("--fee", "request_fee_nanos", type=Price(), default="0", help="Per request.")(command)
    for name, field, text in reversed(_KINDS):
        command = click.option(name, field, type=Price(), help=text)(command)
    for name, field in (("--output", "output_nanos_per_1k"), ("--input", "input_nanos_per_1k")):
        text = f"Per 1,000 {name[2:]} tokens."
        command = click.option(name, field, type=Price(), required=True, help=text)(command)
    return command


@prices.command("set")
@click.argument("model")
@_rate_options
@click.option("--from", "effective_from", type=Moment(), help="In force from then on; else from now on.")
@_REASON
@config_option
@json_option
def set_price(
    model: str, effective_from: datetime | None, reason: str, config: Path | None, as_json: bool, **rates: Any
) -> None:
    """Price MODEL, in dollars. Requests that run keep the price they began with."""

    async def work() -> PriceRow:
        async with _prices(config) as prices:
            return await prices.set(model, Rates(**rates), effective_from, by=operator(), reason=reason)

    row = run(work())
    print_result(_json(row), as_json, _line(row))


@prices.command("deactivate")
@click.argument("price_id", type=click.UUID)
@_REASON
@config_option
@json_option
def deactivate_price(price_id: UUID, reason: str, config: Path | None, as_json: bool) -> None:
    """Switch a price off. The one before it is in force again, if there is one."""

    async def work() -> tuple[PriceRow, PriceRow | None]:
        async with _prices(config) as prices:
            return await prices.deactivate(price_id, by=operator(), reason=reason)

    row, now = run(work())
    text = f"{row.model} has no price now: requests for it are refused" if now is None else f"now: {_line(now)}"
    result = _json(row) | {"now_in_force": None if now is None else _json(now)}
    print_result(result, as_json, f"switched off {row.id}\n{text}")


def _json(row: PriceRow) -> dict[str, Any]:
    """By the names of the columns; what was left open is null."""
    amounts = {COLUMNS[name]: nanos for name, nanos in asdict(row.rates).items()}
    return {
        "id": row.id,
        "model": row.model,
        **{column: None if nanos is None else json_dollars(nanos) for column, nanos in amounts.items()},
        "effective_from": row.effective_from,
        "is_active": row.is_active,
        "in_force": row.in_force,
        "created_at": row.created_at,
    }


def _line(row: PriceRow) -> str:
    state = "in force" if row.in_force else ("active  " if row.is_active else "off     ")
    shown = " ".join(f"{column.removesuffix('_per_1k_tokens')} ${text}" for column, text in in_words(row.rates).items())
    return f"{row.id}  {state}  from {row.effective_from:%Y-%m-%d %H:%M:%S}  {row.model}  {shown}"


prices.add_command(try_price)
COMMANDS = (prices,)
