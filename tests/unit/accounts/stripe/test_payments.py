from itertools import count
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts.stripe.payments import Claim, ClaimKind, Payment, collect, due_back, settle

CREDITED = 1000


def claim(kind: ClaimKind, amount: int, *, dropped: bool = False, name: str = "x") -> Claim:
    return Claim(name, kind, "pi_1", amount, dropped)


def payment(taken_back: int = 0, owed: int = 0, number: int = 1) -> Payment:
    return Payment(UUID(int=number), UUID(int=99), CREDITED, taken_back, owed)


@pytest.mark.parametrize(
    ("claims", "due"),
    [
        ([], 0),
        ([claim("charge", 300)], 300),
        ([claim("refund", 300)], 300),
        ([claim("charge", 300), claim("refund", 300)], 300),  # the same money, told twice
        ([claim("charge", 300), claim("refund", 300), claim("refund", 200)], 500),  # the total is not up to date
        ([claim("charge", 500), claim("refund", 300)], 500),  # a refund that we were not told of
        ([claim("charge", 500), claim("refund", 300), claim("refund", 200, dropped=True)], 300),
        ([claim("charge", 300), claim("refund", 300), claim("refund", 200, dropped=True)], 300),
        ([claim("refund", 200, dropped=True)], 0),
        ([claim("dispute", 400)], 400),
        ([claim("dispute", 400, dropped=True)], 0),
        ([claim("dispute", 400), claim("refund", 300)], 700),
        ([claim("dispute", 1000), claim("charge", 1000)], CREDITED),
        ([claim("charge", 10**15)], CREDITED),
    ],
)
def test_what_is_due_back(claims: list[Claim], due: int) -> None:
    assert due_back(CREDITED, claims) == due
    assert due_back(CREDITED, reversed(claims)) == due


@pytest.mark.parametrize(
    ("taken_back", "owed", "due", "expected"),
    [
        (0, 0, 0, (0, 0)),
        (0, 0, 300, (0, 300)),
        (300, 0, 300, (0, 0)),
        (300, 0, 500, (0, 200)),
        (300, 0, 100, (200, 0)),
        (200, 800, 1000, (0, 800)),  # what is owed stays owed
        (200, 800, 500, (0, 300)),  # less of it
        (200, 800, 0, (200, 0)),  # none, and what was taken comes back
    ],
)
def test_a_payment_is_brought_in_line(taken_back: int, owed: int, due: int, expected: tuple[int, int]) -> None:
    assert settle(payment(taken_back, owed), due) == expected


@pytest.mark.parametrize(
    ("owed", "room", "taken"),
    [
        ([], 100, []),
        ([50], 100, [50]),
        ([50], 30, [30]),
        ([50, 70], 100, [50, 50]),
        ([50, 70, 10], 60, [50, 10]),
        ([50], 0, []),
        ([50], -10, []),
    ],
)
def test_what_is_there_is_taken_in_order(owed: list[int], room: int, taken: list[int]) -> None:
    numbers = count(1)
    owing = [payment(owed=amount, number=next(numbers)) for amount in owed]
    found = collect(owing, room)
    assert [amount for _, amount in found] == taken
    assert [owes for owes, _ in found] == owing[: len(taken)]


amounts = st.integers(0, 2 * CREDITED)
kinds: st.SearchStrategy[ClaimKind] = st.sampled_from(["charge", "refund", "dispute"])


@given(st.lists(st.tuples(kinds, amounts, st.booleans())), st.integers(0, CREDITED), amounts, amounts)
def test_nothing_is_made_of_nothing(facts: list[tuple[ClaimKind, int, bool]], taken: int, owed: int, room: int) -> None:
    due = due_back(CREDITED, [claim(kind, amount, dropped=dropped) for kind, amount, dropped in facts])
    give_back, owed = settle(payment(taken, owed), due)
    left = taken - give_back
    assert 0 <= due <= CREDITED and 0 <= left <= CREDITED
    assert left + owed == due
    (collected,) = [amount for _, amount in collect([payment(left, owed)], room)] or [0]
    assert 0 <= collected <= min(owed, max(room, 0))
