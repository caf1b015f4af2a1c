"""A request is given back in parts, never more than was taken for it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts.errors import RefundTooLarge
from accounts.refunds import check_refund


@given(st.integers(0, 10**6), st.lists(st.integers(1, 10**6), max_size=20))
def test_parts_never_add_up_to_more_than_the_debit(debited: int, parts: list[int]) -> None:
    refunded = 0
    for part in parts:
        try:
            check_refund(debited, refunded, part)
        except RefundTooLarge:
            assert refunded + part > debited
        else:
            refunded += part
    assert refunded <= debited


def test_all_of_it_can_be_given_back() -> None:
    check_refund(60, 0, 60)
    check_refund(60, 59, 1)


def test_a_refusal_says_what_is_left() -> None:
    with pytest.raises(RefundTooLarge, match=r"^1\.5 dollars were debited .* 0\.5 can still be given back$"):
        check_refund(1_500_000_000, 1_000_000_000, 500_000_001)
