"""Rows of Postgres as records."""

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from ledger.entries import KeyState, Transaction, WalletState
from ledger.money import MAX_NANOS
from ledger.rows import key_state, to_ms, transaction, wallet_state

ONE, TWO, THREE = UUID(int=1), UUID(int=2), UUID(int=3)


def test_a_wallet() -> None:
    row = {"id": ONE, "user_id": TWO, "balance": Decimal("-1.000000001"), "overdraft": Decimal(9_000_000), "version": 7}
    assert wallet_state(row) == WalletState(ONE, TWO, -1_000_000_001, MAX_NANOS, 7)


def key_row(**changes: Any) -> dict[str, Any]:
    limits = {"rate_limit_per_minute": 60, "rate_limit_per_day": 1000}
    return {"id": ONE, "wallet_id": TWO, "user_id": THREE, "is_active": True, "expires_at": None, "version": 4} | (
        limits | changes
    )


def test_a_key() -> None:
    expires = datetime(1970, 1, 1, 0, 0, 5, tzinfo=UTC)
    assert key_state(key_row(expires_at=expires)) == KeyState(ONE, TWO, THREE, True, 5_000, 60, 1000, 4)


@pytest.mark.parametrize(
    ("expires_at", "expires_ms"),
    [
        (None, 0),
        (datetime(1969, 1, 1, tzinfo=UTC), 1),
        (datetime(1970, 1, 1, tzinfo=UTC), 1),
        (datetime.min, 1),
    ],
    ids=["never", "1969", "1970", "-infinity"],
)
def test_only_a_key_without_a_date_never_expires(expires_at: datetime | None, expires_ms: int) -> None:
    assert key_state(key_row(expires_at=expires_at)).expires_ms == expires_ms


def test_an_infinite_date_is_far_away_and_still_exact_in_lua() -> None:
    """asyncpg gives `infinity` as the last of dates, without a time zone."""
    assert 200_000_000_000_000 < key_state(key_row(expires_at=datetime.max)).expires_ms < 2**53


def test_a_transaction() -> None:
    amounts = {"amount": Decimal("0.5"), "balance_before": Decimal("-0.25"), "balance_after": Decimal("0.25")}
    row = {"id": ONE, "wallet_id": TWO, "seq": 3, "type": "topup"} | amounts
    assert transaction(row) == Transaction(ONE, TWO, 3, "topup", 500_000_000, -250_000_000, 250_000_000)


def test_milliseconds_are_whole_ones_since_1970_wherever_the_clock_stands() -> None:
    moment = datetime(1970, 1, 1, 2, 0, 0, 1_999, tzinfo=timezone(timedelta(hours=2)))
    assert to_ms(moment) == 1
