"""What is played is a pure function of the seed, and every kind of fault comes up on every kind of part."""

import os
import subprocess
import sys

from tests.support.chaos.links import Mode
from tests.support.chaos.schedule import KINDS, LONG_MS, Blow, Topology, make_schedule
from tests.support.chaos.visits import MODELS, make_clients

TOPOLOGY = Topology(3, 2)
MANY = [make_schedule(seed, TOPOLOGY) for seed in range(2_000)]
_SHOWN = "from tests.chaos.test_schedule_and_visits import shown; print(shown())"


def shown() -> str:
    return f"{make_schedule(7, TOPOLOGY)!r} {make_clients(7, 5, 3)!r}"


def test_a_seed_is_the_same_schedule_in_another_process_too() -> None:
    environment = {**os.environ, "PYTHONHASHSEED": "12345"}
    said = subprocess.run([sys.executable, "-c", _SHOWN], capture_output=True, text=True, check=True, env=environment)
    assert said.stdout.strip() == shown()


def test_seeds_differ() -> None:
    assert len({schedule.faults for schedule in MANY}) > 1_900


def test_every_part_is_hit_by_every_kind_that_applies_to_it() -> None:
    hit = {(fault.part, fault.kind) for schedule in MANY for fault in schedule.faults}
    blows = {(part, kind) for part in TOPOLOGY.processes for kind in (Blow.KILL, Blow.STOP)}
    links = {(link, mode) for link in TOPOLOGY.links for mode in Mode if mode is not Mode.PASS}
    assert hit == blows | links | {("postgres", Blow.RESTART), ("valkey", Blow.RESTART)}
    assert {kind for _, kind in hit} == set(KINDS)


def test_faults_are_in_order_and_a_part_has_one_at_a_time() -> None:
    for schedule in MANY:
        assert list(schedule.faults) == sorted(schedule.faults)
        assert len({fault.part for fault in schedule.faults}) == len(schedule.faults) > 0


def test_some_faults_last_longer_than_a_lease() -> None:
    long = [fault for schedule in MANY for fault in schedule.faults if fault.duration_ms >= LONG_MS[0]]
    assert 100 < len(long) < len(MANY)


def test_a_kind_of_fault_can_be_left_out_without_changing_the_others() -> None:
    for schedule in MANY[:200]:
        kept = tuple(fault for fault in schedule.faults if fault.name != "proxy.kill")
        without = make_schedule(schedule.seed, TOPOLOGY, ["proxy.kill"])
        assert set(kept) <= set(without.faults)
        assert all(fault.name != "proxy.kill" for fault in without.faults)


def test_a_name_says_what_happens_to_which_kind_of_part() -> None:
    names = {fault.name for schedule in MANY for fault in schedule.faults}
    assert {"proxy.kill", "ledger.stop", "client>proxy.half_open", "proxy>valkey.hang", "postgres.restart"} <= names


def test_visits_are_of_every_kind() -> None:
    visits = [visit for client in make_clients(7, 5, 3) for visit in client.visits]
    assert {visit.model for visit in visits} == set(MODELS)
    assert {visit.proxy for visit in visits} == {0, 1, 2}
    assert {visit.customer for visit in visits} == set(range(5))
    assert {visit.is_stream for visit in visits} == {True, False}
    assert any(visit.leaves_after for visit in visits)
    assert len({visit.name for visit in visits}) == len(visits)
