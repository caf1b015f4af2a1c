"""Which cores each part of a benchmark gets."""

import pytest

from benchmarks.affinity import plan


def test_four_cores_are_one_for_each() -> None:
    made = plan([3, 1, 0, 2])
    assert [*map(set, (made.server, made.upstream, made.load, made.stores))] == [{0}, {1}, {2}, {3}]
    assert made.note == "each part on cores of its own"


@pytest.mark.parametrize("count", [3, 4, 7, 64])
def test_the_server_shares_its_core_with_nobody(count: int) -> None:
    made = plan(range(count))
    others = made.upstream | made.load | made.stores
    assert made.server == {0}
    assert others == set(range(1, count))
    assert ("too few" in made.note) == (count < 4)


@pytest.mark.parametrize("cores", [[5], [0, 1]])
def test_on_one_or_two_cores_nothing_is_pinned_and_that_is_said(cores: list[int]) -> None:
    made = plan(cores)
    assert made.server == made.upstream == made.load == made.stores == set(cores)
    assert "nothing is pinned" in made.note


def test_the_plan_can_be_read() -> None:
    assert str(plan([0, 1, 2, 3])) == "server on 0; upstream on 1; load on 2; stores on 3"
