"""Rows of Postgres as records."""

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from ipaddress import ip_network
from typing import Any
from uuid import UUID

import orjson
import pytest

from ledger.entries import KeyLimits, KeySpent, KeyState, Transaction, WalletState
from ledger.money import MAX_NANOS
from ledger.rows import key_state, to_ms, transaction, wallet_state

ONE, TWO, THREE = UUID(int=1), UUID(int=2), UUID(int=3)


def test_a_wallet() -> None:
    row = {"id": ONE, "user_id": TWO, "balance": Decimal("-1.000000001"), "overdraft": Decimal(9_000_000), "version": 7}
    row["is_frozen"] = True
    assert wallet_state(row) == WalletState(ONE, TWO, -1_000_000_001, MAX_NANOS, 7, True)


def key_row(**changes: Any) -> dict[str, Any]:
    row = {"id": ONE, "wallet_id": TWO, "user_id": THREE, "is_active": True, "expires_at": None, "version": 4}
    limits = {"rate_limit_per_minute": 60, "rate_limit_per_day": 1000, "is_frozen": False}
    lists = dict.fromkeys(("allowed_models", "allowed_routes", "allowed_ips"))
    own = dict.fromkeys(
        ("tokens_per_minute", "max_concurrent_requests", "budget_daily", "budget_monthly", "budget_total")
    )
    spent: dict[str, Any] = {"spent_day_number": 0, "spent_month_number": 0}
    spent |= dict.fromkeys(("spent_day", "spent_month", "spent_total"), Decimal(0))
    return row | limits | lists | own | spent | changes


def test_a_key() -> None:
    expires = datetime(1970, 1, 1, 0, 0, 5, tzinfo=UTC)
    assert key_state(key_row(expires_at=expires)) == KeyState(ONE, TWO, THREE, True, 5_000, 60, 1000, 4)


def test_a_key_with_all_that_only_some_keys_have() -> None:
    state = key_state(
        key_row(
            is_frozen=True,
            allowed_models=["a", 'b"*'],
            allowed_ips=[ip_network("10.0.0.0/8"), ip_network("2001:db8::/32")],
            tokens_per_minute=0,
            max_concurrent_requests=3,
            budget_daily=Decimal("0.000000001"),
            budget_total=Decimal(9_000_000),
            spent_day_number=20_000,
            spent_month_number=24_297,
            spent_day=Decimal("0.5"),
            spent_month=Decimal("1.5"),
            spent_total=Decimal("9000000"),
        )
    )
    assert state.is_frozen
    assert orjson.loads(state.policy) == {"models": ["a", 'b"*'], "ips": ["10.0.0.0/8", "2001:db8::/32"]}
    assert state.limits == KeyLimits(0, 3, 1, None, MAX_NANOS)
    assert state.spent == KeySpent(20_000, 24_297, 500_000_000, 1_500_000_000, MAX_NANOS)


def test_an_empty_list_is_a_policy_and_none_is_not() -> None:
    assert key_state(key_row()).policy == ""
    assert orjson.loads(key_state(key_row(allowed_routes=[])).policy) == {"routes": []}


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
