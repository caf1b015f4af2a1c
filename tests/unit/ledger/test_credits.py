from typing import Literal
from uuid import UUID

import pytest

from ledger.credits import check_credit
from ledger.entries import WalletState
from ledger.errors import InsufficientFunds, InvalidAmount
from ledger.money import MAX_NANOS


def wallet(balance: int, overdraft: int = 0) -> WalletState:
    return WalletState(UUID(int=1), UUID(int=2), balance, overdraft, 1)


@pytest.mark.parametrize(
    ("balance", "overdraft", "type_", "amount"),
    [
        (0, 0, "bonus", 1),
        (0, 0, "topup", MAX_NANOS),
        (10, 0, "refund", -10),
        (10, 5, "refund", -15),
        (0, 0, "adjustment", 3),
        (-5, 0, "adjustment", 3),  # still below an overdraft that was lowered, but nearer to it
    ],
)
def test_allowed(
    balance: int, overdraft: int, type_: Literal["topup", "bonus", "refund", "adjustment"], amount: int
) -> None:
    check_credit(wallet(balance, overdraft), type_, amount)


@pytest.mark.parametrize(("type_", "amount"), [("bonus", 0), ("bonus", -1), ("topup", -1), ("adjustment", 0)])
def test_wrong_sign(type_: Literal["topup", "bonus", "adjustment"], amount: int) -> None:
    with pytest.raises(InvalidAmount):
        check_credit(wallet(100), type_, amount)


def test_too_much() -> None:
    with pytest.raises(InvalidAmount):
        check_credit(wallet(1), "topup", MAX_NANOS)


def test_too_little() -> None:
    with pytest.raises(InsufficientFunds) as refused:
        check_credit(wallet(10, 5), "refund", -16)
    assert (refused.value.balance_nanos, refused.value.overdraft_nanos, refused.value.amount_nanos) == (10, 5, -16)
