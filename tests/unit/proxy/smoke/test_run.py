"""Amounts as JSON and headers have them."""

from decimal import Decimal
from typing import Any

import pytest

from proxy.smoke.run import Wallet, expect, nanos, usd
from proxy.smoke.steps import StepFailed


@pytest.mark.parametrize(
    ("amount", "expected"), [("0.000000001", 1), (Decimal("1.5"), 1_500_000_000), (0, 0), (-2, -2_000_000_000)]
)
def test_dollars_are_exact(amount: Any, expected: int) -> None:
    assert nanos(amount) == expected


@pytest.mark.parametrize("amount", [None, True, 1.5, "NaN", "1e400", "x", [], {}, "0.0000000001"])
def test_what_is_no_amount_fails_the_step(amount: Any) -> None:
    with pytest.raises(StepFailed):
        nanos(amount)


def test_what_is_on_its_way_is_what_cannot_be_spent() -> None:
    assert Wallet("u", 10, 5, 12).on_its_way_nanos == 3
    assert usd(1_500_000_000) == "$1.5"


def test_what_is_expected() -> None:
    expect(True, "never said")
    with pytest.raises(StepFailed, match="said"):
        expect(False, "said")
