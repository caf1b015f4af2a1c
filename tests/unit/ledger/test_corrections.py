"""Which of a batch's events for one request counts."""

from itertools import permutations
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from ledger.corrections import is_recovered, without_superseded
from ledger.entries import RECOVERED, SettledEntry, WalletState
from tests.support.ledger import settled

WALLET = WalletState(UUID(int=1), UUID(int=2), 0, 0, 1)


def event(request: int, cost: int, end_reason: str = "complete") -> SettledEntry:
    return settled(WALLET, cost, request_id=UUID(int=request), end_reason=end_reason)


events = st.builds(
    lambda request, cost, is_true: event(request, cost, "complete" if is_true else RECOVERED),
    st.integers(0, 3), st.integers(0, 100), st.booleans(),
)  # fmt: skip


def test_a_batch_without_recovered_requests_is_left_as_it_is() -> None:
    batch = [event(1, 5), event(1, 5), event(2, 7)]
    assert without_superseded(batch) is batch


def test_the_last_word_counts_whichever_comes_first() -> None:
    less, more, true = event(1, 8, RECOVERED), event(1, 9, RECOVERED), event(1, 2)
    for batch in permutations((less, more, true)):
        assert without_superseded(batch) == [true]
    for batch in permutations((less, more)):
        assert without_superseded(batch) == [more]


@given(st.lists(events, max_size=8))
def test_of_each_request_the_truth_is_left_where_there_is_one(batch: list[SettledEntry]) -> None:
    left = without_superseded(batch)
    true_ones = {settled.entry.request_id for settled in batch if not is_recovered(settled)}
    assert {settled.entry.request_id for settled in left} == {settled.entry.request_id for settled in batch}
    assert not any(is_recovered(settled) and settled.entry.request_id in true_ones for settled in left)
    if any(map(is_recovered, batch)):
        assert len(left) == len({settled.entry.request_id for settled in left})
