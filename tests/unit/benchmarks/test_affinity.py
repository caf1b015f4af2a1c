"""Which cores each part of a benchmark gets."""

import os
import subprocess
import sys

import pytest

from benchmarks.affinity import moved, plan


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


def test_what_runs_already_is_moved_with_all_that_it_started_and_comes_back() -> None:
    here = frozenset(os.sched_getaffinity(0))
    one = frozenset([min(here)])
    code = "import subprocess; child = subprocess.Popen(['cat']); print(child.pid, flush=True); child.wait()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as started:
        assert started.stdin is not None
        assert started.stdout is not None
        tree = (started.pid, int(started.stdout.readline()))
        with moved([started.pid], one, back_to=here):
            assert [os.sched_getaffinity(pid) for pid in tree] == [one, one]
        assert [os.sched_getaffinity(pid) for pid in tree] == [here, here]
        started.stdin.close()  # which ends both
