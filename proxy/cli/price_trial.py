"""`farebox prices try`: who would have paid what, had other prices been in force. Nothing is changed."""

import sys
from collections.abc import Mapping
from contextlib import aclosing
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import click

from accounts.csv_lines import Number, csv_bytes
from accounts.price_trial import MAX_USERS, Outcome, Trial, Tried, each_user_and_model, try_prices
from accounts.rates import Rates, in_words
from ledger.money import format_dollars
from proxy.backends import open_pool
from proxy.cli.options import Moment, config_option, json_dollars, json_option, print_result, run
from proxy.cli.price_file import KINDS, Price, read_prices
from runtime.config import load_as
from runtime.settings import DatabaseConfig

_SHOWN_USERS = 20
_HEADS = ("user_id", "model", "requests", "charged", "would_be", "difference")


def _rate_options(command: Any) -> Any:
    for name in reversed(KINDS):
        option = f"--{name.replace('_', '-')}"
        command = click.option(option, name, type=Price(), help="For --model; as with `farebox prices set`.")(command)
    return command


@click.command("try")
@click.option("--since", type=Moment(), required=True, help="Usage that began then or later.")
@click.option("--until", type=Moment(), help="… and before this.  [default: now]")
@click.option(
    "--file", "path", type=click.Path(path_type=Path, dir_okay=False), help="Prices of several models, as YAML."
)
@click.option("--model", help="Or the price of one model.")
@_rate_options
@click.option("--user", type=click.UUID, help="Only this user's usage.")
@click.option(
    "--users",
    type=click.IntRange(0, MAX_USERS),
    default=_SHOWN_USERS,
    show_default=True,
    help="How many users to show.",
)
@click.option("--csv", "as_csv", is_flag=True, help="Print every user and model as CSV.")
@config_option
@json_option
def try_price(
    since: datetime,
    until: datetime | None,
    path: Path | None,
    model: str | None,
    user: UUID | None,
    users: int,
    as_csv: bool,
    config: Path | None,
    as_json: bool,
    **amounts: int | None,
) -> None:
    """Who would have paid what, had these prices been in force. Nothing is changed.

    The file says `models: {NAME: {input: 0.001, output: 0.002}}`, in dollars, with the names of the options below.
    Models that are not named keep what they cost, and what was free stays free.
    """
    if as_csv and as_json:
        raise click.UsageError("--csv or --json, not both")
    trial = Trial(since, until, _rates(path, model, amounts), user)
    if as_csv:
        run(_print_csv(config, trial))
        return
    outcome = run(_try(config, trial, users))
    print_result(_json(trial, outcome), as_json, _text(outcome))


def _rates(path: Path | None, model: str | None, amounts: Mapping[str, int | None]) -> dict[str, Rates]:
    given = {KINDS[name]: nanos for name, nanos in amounts.items() if nanos is not None}
    if path is not None:
        if model is not None or given:
            raise click.UsageError("--file, or --model with its prices, not both")
        return read_prices(path)
    if model is None or amounts["input"] is None or amounts["output"] is None:
        raise click.UsageError("--file is needed, or --model with --input and --output")
    return {model: Rates(**given)}


async def _try(config: Path | None, trial: Trial, users: int) -> Outcome:
    pool = await open_pool(load_as(DatabaseConfig, config).database, "farebox-cli")
    try:
        return await try_prices(pool, trial, users)
    finally:
        await pool.close()


async def _print_csv(config: Path | None, trial: Trial) -> None:
    pool = await open_pool(load_as(DatabaseConfig, config).database, "farebox-cli")
    try:
        _write(csv_bytes([_HEADS]))
        async with aclosing(each_user_and_model(pool, trial)) as pages:
            async for page in pages:
                _write(csv_bytes(map(_cells, page)))
    finally:
        await pool.close()


def _write(lines: bytes) -> None:
    sys.stdout.buffer.write(lines)
    sys.stdout.buffer.flush()


def _cells(row: Tried) -> list[Any]:
    amounts = (row.charged_nanos, row.would_be_nanos, row.difference_nanos)
    return [str(row.user_id), row.model, row.requests, *(Number(format_dollars(nanos)) for nanos in amounts)]


def _json(trial: Trial, outcome: Outcome) -> dict[str, Any]:
    prices = {model: in_words(rates) for model, rates in trial.rates.items()}
    return {
        "since": trial.since,
        "until": trial.until,
        "prices": prices,
        "total": _amounts(outcome.total),
        "models": [{"model": row.model, "is_priced": row.model in prices} | _amounts(row) for row in outcome.models],
        "users": [{"user_id": row.user_id} | _amounts(row) for row in outcome.users],
    }


def _amounts(row: Tried) -> dict[str, Any]:
    return {
        "requests": row.requests,
        "charged": json_dollars(row.charged_nanos),
        "would_be": json_dollars(row.would_be_nanos),
        "difference": json_dollars(row.difference_nanos),
    }


def _text(outcome: Outcome) -> str:
    lines = [_line("", "requests", "charged", "would be", "difference")]
    lines += [_row(row.model or "", row) for row in outcome.models]
    lines.append(_row("all models", outcome.total))
    if outcome.users:
        lines += ["", "users, the largest difference first", *(_row(str(row.user_id), row) for row in outcome.users)]
    return "\n".join(lines)


def _row(name: str, row: Tried) -> str:
    amounts = (row.charged_nanos, row.would_be_nanos, row.difference_nanos)
    return _line(name, str(row.requests), *(f"${format_dollars(nanos)}" for nanos in amounts))


def _line(name: str, *cells: str) -> str:
    return f"{name:<36}" + "".join(f"  {cell:>18}" for cell in cells)
