"""What is wrong with a wallet in Redis, given what it should have."""

from dataclasses import replace
from uuid import UUID

import pytest

from ledger.audit_redis import CACHED, HELD, UNPOSTED, CachedWallet, differences
from ledger.entries import WalletState

ID = UUID(int=1)
STATE = WalletState(ID, UUID(int=2), 100, 5, 7)
GOOD = CachedWallet(ID, 100, 5, 7, 30, 12, False, (10, 20), (12,))


@pytest.mark.parametrize(
    ("wallet", "without_wallet", "rules"),
    [
        (GOOD, 0, []),
        (CachedWallet(ID), 0, []),
        (replace(GOOD, held=31), 0, [HELD]),
        (replace(GOOD, held=29), 5, [HELD]),
        (replace(GOOD, held=35), 5, []),
        (replace(GOOD, held=36), 5, [HELD]),
        (replace(GOOD, held=-1, holds=()), 0, [HELD]),
        (replace(GOOD, held=None), 0, [HELD]),
        (replace(GOOD, unposted=11), 0, [UNPOSTED]),
        (replace(GOOD, charges=()), 0, [UNPOSTED]),
        (replace(GOOD, balance=101), 0, [CACHED]),
        (replace(GOOD, overdraft=0), 0, [CACHED]),
        (replace(GOOD, is_frozen=True), 0, [CACHED]),
        (replace(GOOD, balance=1, version=6), 0, []),
        (replace(GOOD, version=8), 0, [CACHED]),
        (replace(GOOD, balance=None, version=None), 0, []),
        (replace(GOOD, held=0, unposted=0, version=8), 0, [HELD, UNPOSTED, CACHED]),
    ],
)
def test_which_rules_a_wallet_breaks(wallet: CachedWallet, without_wallet: int, rules: list[str]) -> None:
    found = differences(wallet, without_wallet, STATE)
    assert [violation.rule for violation in found] == rules
    assert {violation.wallet_id for violation in found} <= {ID}


def test_a_wallet_that_postgres_does_not_know() -> None:
    assert [violation.rule for violation in differences(GOOD, 0, None)] == [CACHED]
    assert differences(replace(GOOD, balance=None, version=None), 0, None) == []
