"""Which core a second worker gets."""

from pathlib import Path

from benchmarks.affinity import plan
from benchmarks.figures.workers import with_cores
from benchmarks.stack import Ground
from benchmarks.stage import QUICK, Stage


def stage(cores: int) -> Stage:
    ground = Ground(Path(), plan(range(cores)), "postgres://", "redis://", "http://127.0.0.1:1")
    return Stage(ground, QUICK, wrk=None, descriptors=20_000)


def test_one_worker_has_the_servers_core() -> None:
    four = stage(4)
    assert with_cores(four, 1) == four.where
    assert four.notes == []


def test_a_second_one_shares_the_upstreams_core_and_that_is_said() -> None:
    four = stage(4)
    assert with_cores(four, 2).server == {0, 1}
    (note,) = four.notes
    assert "shares its core with the upstream" in note


def test_where_the_upstream_has_several_it_has_others_to_go_to() -> None:
    many = stage(8)
    found = with_cores(many, 2)
    assert len(found.server) == 2 and found.server & found.load == found.server & found.stores == set()
    assert found.upstream - found.server
    assert many.notes == []
