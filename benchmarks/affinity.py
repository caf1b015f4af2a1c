"""Which cores each part of a benchmark gets. Pinning is inherited, so it is set before a process is started."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import psutil

Cores = frozenset[int]
# Of nice levels; a turn of another lasts 3 ms.
_FIRST = -10


@dataclass(frozen=True)
class Plan:
    server: Cores
    upstream: Cores
    load: Cores
    redis: Cores
    stores: Cores
    note: str

    def __str__(self) -> str:
        parts = {
            "server": self.server,
            "upstream": self.upstream,
            "load": self.load,
            "Valkey": self.redis,
            "Postgres and ledger": self.stores,
        }
        return "; ".join(f"{name} on {' '.join(map(str, sorted(cores)))}" for name, cores in parts.items())


def plan(cores: Sequence[int]) -> Plan:
    """From three cores on the server under test has one of its own; what is left is dealt to the others.

    Every request waits for Valkey, and none for Postgres and the ledger, which would keep Valkey from a core of theirs.
    """
    if len(cores) < 3:
        every = frozenset(cores)
        return Plan(every, every, every, every, every, "too few cores: nothing is pinned, the figures mean little")
    first, *rest = sorted(cores)
    dealt = [frozenset(rest[i :: min(4, len(rest))]) for i in range(min(4, len(rest)))]
    # what shares where there are not enough: Valkey the load's, which takes least, and Postgres the upstream's
    redis = dealt[3] if len(dealt) == 4 else dealt[1]
    stores = dealt[2] if len(dealt) > 2 else dealt[0]
    note = (
        "the stores share the upstream's and the load's",
        "Valkey shares the load's",
        "each part on cores of its own",
    )
    return Plan(frozenset({first}), dealt[0], dealt[1], redis, stores, note[len(dealt) - 2])


def goes_first(pid: int) -> None:
    """On a core that it shares the process does not wait until the turn of others ends, if we may say so."""
    with suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, pid, _FIRST)


@contextmanager
def pinned(cores: Cores) -> Iterator[None]:
    """What is started inside runs on `cores`, with all its threads."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextmanager
def moved(places: Mapping[int, Cores], cores: Cores) -> Iterator[None]:
    """Meanwhile these processes, with all that they started, run on `cores`; so does what they start. Then they are on
    their own again."""
    _move(places, cores)
    try:
        yield
    finally:
        for pid, own in places.items():
            _move([pid], own)


def _move(pids: Iterable[int], cores: Cores) -> None:
    for pid in pids:
        top = psutil.Process(pid)
        for process in [top, *top.children(recursive=True)]:
            with suppress(psutil.NoSuchProcess, ProcessLookupError):  # a connection of Postgres that was just closed
                for thread in process.threads():
                    os.sched_setaffinity(thread.id, cores)
