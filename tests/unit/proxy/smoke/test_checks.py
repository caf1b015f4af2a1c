"""What is left in a wallet from which a credit was taken back."""

from hypothesis import given
from hypothesis import strategies as st

from proxy.smoke.checks import balance_to_leave
from proxy.smoke.run import Wallet

AMOUNTS = st.integers(0, 10**12)


@given(AMOUNTS, AMOUNTS, st.integers(1, 10**12), AMOUNTS)
def test_in_the_end_a_wallet_has_what_it_had_less_what_was_spent(
    before: int, overdraft: int, credit: int, spent: int
) -> None:
    """Whether the debits are posted already, or are still to come."""
    spent = min(spent, before + credit)
    posted = Wallet("u", before + credit - spent, overdraft, before + credit - spent + overdraft)
    to_come = Wallet("u", before + credit, overdraft, before + credit - spent + overdraft)
    due = max(before - spent, 0)
    assert balance_to_leave(posted, credit) == due
    assert balance_to_leave(to_come, credit) - spent in (due, before - spent)
    assert balance_to_leave(to_come, credit) >= spent


@given(AMOUNTS, st.integers(1, 10**12))
def test_a_wallet_that_owes_is_set_to_nothing_and_not_below(owed: int, credit: int) -> None:
    wallet = Wallet("u", -owed, 10**12, 10**12 - owed)
    assert balance_to_leave(wallet, credit) == 0
