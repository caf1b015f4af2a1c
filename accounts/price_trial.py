"""What past usage would have cost at other prices: reads, changes nothing."""

from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from accounts.errors import InvalidRequest
from accounts.rates import COLUMNS, Rates
from runtime.postgres import Connection, Pool
from runtime.sql import load_queries

_QUERIES = load_queries("accounts", "sql/price_trial.sql")
# Whole months of usage rows are read.
QUERY_TIMEOUT_S = 1800.0
# More models than any catalogue lists.
MAX_MODELS = 10_000
# What a report lists of users; all of them are in the CSV.
MAX_USERS = 10_000
_ROWS_AT_ONCE = 1000
# A hash table of users and models, not a sort of every request on disk.
_WORK_MEMORY = "SET LOCAL work_mem = '128MB'"


@dataclass(frozen=True, slots=True)
class Tried:
    """`charged_nanos` is the cost that was booked, `would_be_nanos` what it had been. None: any user, any model."""

    user_id: UUID | None
    model: str | None
    requests: int
    charged_nanos: int
    would_be_nanos: int

    @property
    def difference_nanos(self) -> int:
        return self.would_be_nanos - self.charged_nanos


@dataclass(frozen=True, slots=True)
class Trial:
    """Usage that began at `since` or later and before `until`, priced by `rates` where they name its model.

    Raises InvalidRequest.
    """

    since: datetime
    until: datetime | None
    rates: Mapping[str, Rates]
    user_id: UUID | None = None

    def __post_init__(self) -> None:
        if not 1 <= len(self.rates) <= MAX_MODELS:
            raise InvalidRequest(f"prices: for 1 to {MAX_MODELS} models")
        if self.until is not None and self.until <= self.since:
            raise InvalidRequest("until: must be after since")


@dataclass(frozen=True, slots=True)
class Outcome:
    """Models by name; of users at most as many as were asked for, the largest difference first."""

    total: Tried
    models: list[Tried]
    users: list[Tried]


async def try_prices(pool: Pool, trial: Trial, users: int = MAX_USERS) -> Outcome:
    """Raises runtime.postgres.UNAVAILABLE."""
    async with pool.acquire() as connection, connection.transaction(isolation="repeatable_read", readonly=True):
        await connection.execute(_WORK_MEMORY)
        models = await _ask(connection, "by_model", trial, MAX_MODELS)
        return Outcome(_total(models), models, await _ask(connection, "by_user", trial, users))


async def each_user_and_model(pool: Pool, trial: Trial) -> AsyncGenerator[list[Tried], None]:
    """All of them, by user and model, some at a time. Raises runtime.postgres.UNAVAILABLE."""
    async with pool.acquire() as connection, connection.transaction(isolation="repeatable_read", readonly=True):
        await connection.execute(_WORK_MEMORY)
        arguments = [*_arguments(trial), None]
        cursor = await connection.cursor(_query("by_both"), *arguments, timeout=QUERY_TIMEOUT_S)
        while rows := await cursor.fetch(_ROWS_AT_ONCE, timeout=QUERY_TIMEOUT_S):
            yield [_tried(row) for row in rows]


async def _ask(connection: Connection, name: str, trial: Trial, limit: int) -> list[Tried]:
    rows = await connection.fetch(_query(name), *_arguments(trial), limit, timeout=QUERY_TIMEOUT_S)
    return [_tried(row) for row in rows]


def _query(name: str) -> str:
    return f"{_QUERIES['tried']}\n{_QUERIES[name]}"


def _arguments(trial: Trial) -> list[Any]:
    """What is left open in a price is filled in as it is when it is charged."""
    resolved = [rates.resolved() for rates in trial.rates.values()]
    columns = [[getattr(rates, name) for rates in resolved] for name in COLUMNS]
    return [trial.since, trial.until, list(trial.rates), *columns, trial.user_id]


def _total(models: list[Tried]) -> Tried:
    return Tried(
        None,
        None,
        sum(row.requests for row in models),
        sum(row.charged_nanos for row in models),
        sum(row.would_be_nanos for row in models),
    )


def _tried(row: Any) -> Tried:
    return Tried(row["user_id"], row["model"], row["requests"], int(row["charged"]), int(row["would_be"]))
