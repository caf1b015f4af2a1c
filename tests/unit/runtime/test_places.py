"""So many at once, and of one owner fewer."""

from contextlib import ExitStack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.coalesce import Overloaded
from runtime.places import Places


def test_a_place_is_free_again_however_its_block_is_left() -> None:
    places = Places(1, 1)
    for _ in range(3):
        with pytest.raises(KeyError), places.take("ana"):
            raise KeyError
    with places.take("ana"), pytest.raises(Overloaded), places.take("bob"):
        pass
    with places.take("bob"):
        pass


@given(st.lists(st.sampled_from("abcd"), max_size=20), st.integers(1, 6), st.integers(1, 6))
def test_as_many_as_there_are_and_no_more_of_one_owner(owners: list[str], total: int, per_owner: int) -> None:
    places, taken = Places(total, per_owner), dict.fromkeys("abcd", 0)
    with ExitStack() as stack:
        for owner in owners:
            if sum(taken.values()) < total and taken[owner] < per_owner:
                stack.enter_context(places.take(owner))
                taken[owner] += 1
            else:
                with pytest.raises(Overloaded):
                    stack.enter_context(places.take(owner))
    with places.take("a"):
        pass
