"""Which cores each part of a benchmark gets."""

import os
import subprocess
import sys

import pytest

from benchmarks.affinity import Plan, goes_first, moved, plan


def parts(made: Plan) -> list[set[int]]:
    return [*map(set, (made.server, made.upstream, made.load, made.redis, made.stores))]


@pytest.mark.parametrize(
    ("cores", "dealt", "note"),
    [
        ([4, 3, 1, 0, 2], [{0}, {1}, {2}, {4}, {3}], "each part on cores of its own"),
        ([3, 1, 0, 2], [{0}, {1}, {2}, {2}, {3}], "Valkey shares the load's"),
        ([0, 1, 2], [{0}, {1}, {2}, {2}, {1}], "the stores share the upstream's and the load's"),
    ],
)
def test_each_part_has_a_core_as_far_as_there_are_any(cores: list[int], dealt: list[set[int]], note: str) -> None:
    made = plan(cores)
    assert (parts(made), made.note) == (dealt, note)


@pytest.mark.parametrize("count", [3, 4, 5, 7, 64])
def test_the_server_shares_its_core_with_nobody(count: int) -> None:
    server, *others = parts(plan(range(count)))
    assert server == {0}
    assert set().union(*others) == set(range(1, count))


@pytest.mark.parametrize("cores", [[5], [0, 1]])
def test_on_one_or_two_cores_nothing_is_pinned_and_that_is_said(cores: list[int]) -> None:
    made = plan(cores)
    assert parts(made) == [set(cores)] * 5
    assert "nothing is pinned" in made.note


def test_the_plan_can_be_read() -> None:
    assert str(plan([0, 1, 2, 3])) == "server on 0; upstream on 1; load on 2; Valkey on 2; Postgres and ledger on 3"


def test_who_may_not_go_first_goes_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: int) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "setpriority", refuse)
    goes_first(os.getpid())


def test_what_runs_already_is_moved_with_all_that_it_started_and_comes_back() -> None:
    here = frozenset(os.sched_getaffinity(0))
    one = frozenset([min(here)])
    code = "import subprocess; child = subprocess.Popen(['cat']); print(child.pid, flush=True); child.wait()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as started:
        assert started.stdin is not None
        assert started.stdout is not None
        tree = (started.pid, int(started.stdout.readline()))
        with moved({started.pid: here}, one):
            assert [os.sched_getaffinity(pid) for pid in tree] == [one, one]
        assert [os.sched_getaffinity(pid) for pid in tree] == [here, here]
        started.stdin.close()  # which ends both
