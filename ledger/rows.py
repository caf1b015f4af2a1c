"""Rows of Postgres as the ledger's records."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, TypeAlias

import asyncpg
import orjson

from ledger.entries import KeyLimits, KeySpent, KeyState, Transaction, WalletState
from ledger.money import from_decimal

Row: TypeAlias = Mapping[str, Any] | asyncpg.Record

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_NEVER_MS = 0


def wallet_state(row: Row) -> WalletState:
    return WalletState(
        wallet_id=row["id"],
        user_id=row["user_id"],
        balance_nanos=from_decimal(row["balance"]),
        overdraft_nanos=from_decimal(row["overdraft"]),
        version=row["version"],
        is_frozen=row["is_frozen"],
    )


def key_state(row: Row) -> KeyState:
    return KeyState(
        key_id=row["id"],
        wallet_id=row["wallet_id"],
        user_id=row["user_id"],
        is_active=row["is_active"],
        expires_ms=_expires_ms(row["expires_at"]),
        requests_per_minute=row["rate_limit_per_minute"],
        requests_per_day=row["rate_limit_per_day"],
        version=row["version"],
        is_frozen=row["is_frozen"],
        policy=_policy(row),
        limits=_limits(row),
        spent=_spent(row),
    )


def _policy(row: Row) -> str:
    """The lists that there are, `{"models": …, "routes": …, "ips": …}`; nothing where there is none."""
    columns = {"models": "allowed_models", "routes": "allowed_routes", "ips": "allowed_ips"}
    lists = {name: [str(entry) for entry in row[column]] for name, column in columns.items() if row[column] is not None}
    return orjson.dumps(lists).decode() if lists else ""


def _limits(row: Row) -> KeyLimits:
    return KeyLimits(
        tokens_per_minute=row["tokens_per_minute"],
        max_concurrent_requests=row["max_concurrent_requests"],
        budget_day_nanos=_optional_nanos(row["budget_daily"]),
        budget_month_nanos=_optional_nanos(row["budget_monthly"]),
        budget_total_nanos=_optional_nanos(row["budget_total"]),
    )


def _spent(row: Row) -> KeySpent:
    return KeySpent(
        day=row["spent_day_number"],
        month=row["spent_month_number"],
        day_nanos=from_decimal(row["spent_day"]),
        month_nanos=from_decimal(row["spent_month"]),
        total_nanos=from_decimal(row["spent_total"]),
    )


def _optional_nanos(dollars: Decimal | None) -> int | None:
    return None if dollars is None else from_decimal(dollars)


def transaction(row: Row) -> Transaction:
    return Transaction(
        id=row["id"],
        wallet_id=row["wallet_id"],
        seq=row["seq"],
        type=row["type"],
        amount_nanos=from_decimal(row["amount"]),
        balance_before_nanos=from_decimal(row["balance_before"]),
        balance_after_nanos=from_decimal(row["balance_after"]),
    )


def to_ms(moment: datetime) -> int:
    """Milliseconds since 1970. `infinity` and `-infinity` come without a time zone, as the last and first of dates."""
    return ((moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - _EPOCH) // _MILLISECOND


def _expires_ms(moment: datetime | None) -> int:
    """At least 1: 0 says never, which a key that expired in 1969 does not mean."""
    return _NEVER_MS if moment is None else max(1, to_ms(moment))
