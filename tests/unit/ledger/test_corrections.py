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
    event, st.integers(0, 3), st.integers(0, 100), st.sampled_from(["complete", RECOVERED, "aborted", RECOVERED])
)


def test_a_batch_without_recovered_requests_is_left_as_it_is() -> None:
    batch = [event(1, 5), event(1, 5), event(2, 7)]
    assert without_superseded(batch) is batch


def test_the_truth_counts_and_else_the_recovery_that_knows_of_most() -> None:
    early, late, true = event(1, 8, RECOVERED), event(1, 9, RECOVERED), event(1, 3)
    for batch in permutations([early, late, true]):
        assert without_superseded(batch) == [true]
    assert without_superseded([early, late]) == without_superseded([late, early]) == [late]


@given(st.lists(events, max_size=8))
def test_of_each_request_one_event_is_left_that_no_other_supersedes(batch: list[SettledEntry]) -> None:
    if not any(map(is_recovered, batch)):
        batch = [*batch, event(9, 0, RECOVERED)]
    left = {settled.entry.request_id: settled for settled in without_superseded(batch)}
    assert len(left) == len(without_superseded(batch))
    assert left.keys() == {settled.entry.request_id for settled in batch}
    for request_id, found in left.items():
        same = [other for other in batch if other.entry.request_id == request_id]
        true_ones = [other for other in same if not is_recovered(other)]
        greatest = max(same, key=lambda other: other.entry.cost_nanos)
        assert found is (true_ones[0] if true_ones else greatest)
