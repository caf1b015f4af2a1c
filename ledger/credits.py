"""Credits: every way a balance moves that is not usage. One locked wallet, one line of history, one transaction.

`record` and `set_balance` work inside the caller's transaction, so that what a credit is for (a Stripe event, an
admin's action) and the credit itself are committed together or not at all.
"""

from collections.abc import Mapping
from typing import Any, Literal
from uuid import UUID

import orjson

from ledger import rows
from ledger.entries import Transaction, WalletState
from ledger.errors import InsufficientFunds, InvalidAmount, WalletNotFound
from ledger.money import MAX_NANOS, to_decimal
from ledger.posting import storable
from runtime.postgres import Connection
from runtime.sql import load_queries

CreditType = Literal["topup", "bonus", "refund", "adjustment"]

_QUERIES = load_queries("ledger", "sql/wallets.sql")


async def record(
    connection: Connection,
    wallet_id: UUID,
    type: CreditType,
    amount_nanos: int,
    description: str,
    metadata: Mapping[str, Any] | None = None,
) -> Transaction:
    """Moves a balance by `amount_nanos`; the caller holds a transaction open.

    Raises InvalidAmount, InsufficientFunds or WalletNotFound before anything is changed.
    """
    wallet = await _lock(connection, wallet_id)
    return await _record_locked(connection, wallet, type, amount_nanos, description, metadata)


async def set_balance(
    connection: Connection,
    wallet_id: UUID,
    balance_nanos: int,
    description: str,
    metadata: Mapping[str, Any] | None = None,
) -> Transaction | None:
    """Adjusts a balance to `balance_nanos`, as `record` does; None if it is that already."""
    wallet = await _lock(connection, wallet_id)
    difference = balance_nanos - wallet.balance_nanos
    if difference == 0:
        return None
    return await _record_locked(connection, wallet, "adjustment", difference, description, metadata)


def check_credit(wallet: WalletState, type: CreditType, amount_nanos: int) -> None:
    """Raises InvalidAmount or InsufficientFunds if this wallet cannot take this credit."""
    if amount_nanos == 0 or (type in ("topup", "bonus") and amount_nanos < 0):
        raise InvalidAmount(f"{type} of {amount_nanos} nano-dollars")
    after = wallet.balance_nanos + amount_nanos
    if after > MAX_NANOS:
        raise InvalidAmount(f"a balance of {after} nano-dollars is more than {MAX_NANOS}")
    if amount_nanos < 0 and after < -wallet.overdraft_nanos:
        raise InsufficientFunds(wallet.balance_nanos, wallet.overdraft_nanos, amount_nanos)


async def _lock(connection: Connection, wallet_id: UUID) -> WalletState:
    row = await connection.fetchrow(_QUERIES["lock_wallet"], wallet_id)
    if row is None:
        raise WalletNotFound(str(wallet_id))
    return rows.wallet_state(row)


async def _record_locked(
    connection: Connection,
    wallet: WalletState,
    type: CreditType,
    amount_nanos: int,
    description: str,
    metadata: Mapping[str, Any] | None,
) -> Transaction:
    check_credit(wallet, type, amount_nanos)
    row = await connection.fetchrow(
        _QUERIES["record"],
        wallet.wallet_id,
        type,
        to_decimal(amount_nanos),
        storable(description),
        orjson.dumps(dict(metadata or {})).decode(),
    )
    assert row is not None, "the wallet is locked by us"
    return rows.transaction(row)
