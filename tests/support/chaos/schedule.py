"""Seed -> which fault hits which part, when and for how long. Pure: the same seed is the same schedule, anywhere."""

import random
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from tests.support.chaos.links import Mode


class Blow(StrEnum):
    """What happens to a process."""

    KILL = "kill"  # SIGKILL; started again at the end of the fault
    STOP = "stop"  # SIGSTOP, then SIGCONT
    RESTART = "restart"  # asked to finish, and started again


KINDS: tuple[str, ...] = (*Blow, Mode.CUT, Mode.HANG, Mode.SWALLOW, Mode.SLOW, Mode.HALF_OPEN)

# Load runs for so long; what began later than LAST_BEGIN_MS would find nobody.
LOAD_MS = 3_000
FIRST_BEGIN_MS, LAST_BEGIN_MS = 300, 2_200
STEP_MS = 100
SHORT_MS = (200, 1_600)
# Longer than a lease: what was thought dead comes back, and its settlement comes late.
LONG_MS = (6_200, 7_000)
LONG_IN = 12
MOST_FAULTS = 3


@dataclass(frozen=True, slots=True)
class Topology:
    """How many of each there are."""

    proxies: int = 2
    ledgers: int = 2

    @property
    def processes(self) -> tuple[str, ...]:
        numbered = [f"proxy-{n}" for n in range(self.proxies)] + [f"ledger-{n}" for n in range(self.ledgers)]
        return (*numbered, "upstream", "postgres", "valkey")

    @property
    def links(self) -> tuple[str, ...]:
        """`a>b`: what `a` opens to `b`."""
        proxies = [f"{a}>{b}" for n in range(self.proxies) for a, b in _around(f"proxy-{n}")]
        ledgers = [f"ledger-{n}>{server}" for n in range(self.ledgers) for server in ("valkey", "postgres")]
        return (*proxies, *ledgers)


def _around(proxy: str) -> tuple[tuple[str, str], ...]:
    return (("client", proxy), (proxy, "valkey"), (proxy, "postgres"), (proxy, "upstream"))


@dataclass(frozen=True, slots=True, order=True)
class Fault:
    """Times are milliseconds from the beginning of the load."""

    at_ms: int
    part: str
    kind: str
    duration_ms: int

    @property
    def end_ms(self) -> int:
        return self.at_ms + self.duration_ms

    @property
    def name(self) -> str:
        """Which number of a part it hits does not matter: `proxy.kill`, `proxy>valkey.hang`."""
        return ">".join(part.rstrip("-0123456789") for part in self.part.split(">")) + f".{self.kind}"

    def __str__(self) -> str:
        return f"{self.at_ms:>5} ms  {self.kind:<9} {self.part:<18} for {self.duration_ms} ms"


@dataclass(frozen=True, slots=True)
class Schedule:
    seed: int
    faults: tuple[Fault, ...]

    def __str__(self) -> str:
        lines = [f"schedule of seed {self.seed}:", *(f"  {fault}" for fault in self.faults)]
        return "\n".join(lines if self.faults else [*lines, "  no faults"])


def make_schedule(seed: int, topology: Topology, without: Iterable[str] = ()) -> Schedule:
    """At most MOST_FAULTS faults, in order; a part has one at a time. `without` leaves out faults of these names."""
    chance = random.Random(f"schedule {seed}")
    avoided, faults = frozenset(without), list[Fault]()
    for _ in range(chance.randint(1, MOST_FAULTS)):
        fault = _draw(chance, topology)
        is_busy = any(other.part == fault.part for other in faults)
        if not is_busy and fault.name not in avoided:
            faults.append(fault)
    return Schedule(seed, tuple(sorted(faults)))


def _draw(chance: random.Random, topology: Topology) -> Fault:
    at_ms = chance.randrange(FIRST_BEGIN_MS, LAST_BEGIN_MS, STEP_MS)
    if chance.random() < 0.5:
        # what holds most at any moment is hit most
        proxies = [name for name in topology.processes if name.startswith("proxy")]
        part = chance.choice((*topology.processes, *proxies))
        kind = str(chance.choice(_blows(part)))
    else:
        part = chance.choice(topology.links)
        kind = str(chance.choice((Mode.CUT, Mode.HANG, Mode.SWALLOW, Mode.SLOW, Mode.HALF_OPEN)))
    is_long = chance.randrange(LONG_IN) == 0
    duration_ms = chance.randrange(*(LONG_MS if is_long else SHORT_MS), STEP_MS)
    return Fault(at_ms, part, kind, duration_ms)


def _blows(part: str) -> tuple[Blow, ...]:
    # a clean stop of ours has tests of its own (tests/acceptance/test_stopping.py)
    return (Blow.KILL, Blow.STOP, Blow.RESTART) if part in ("postgres", "valkey") else (Blow.KILL, Blow.STOP)
