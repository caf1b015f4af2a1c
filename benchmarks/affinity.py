"""Which cores each part of a benchmark gets. Pinning is inherited, so it is set before a process is started."""

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import psutil

Cores = frozenset[int]


@dataclass(frozen=True)
class Plan:
    server: Cores
    upstream: Cores
    load: Cores
    stores: Cores
    note: str

    def __str__(self) -> str:
        parts = {"server": self.server, "upstream": self.upstream, "load": self.load, "stores": self.stores}
        return "; ".join(f"{name} on {' '.join(map(str, sorted(cores)))}" for name, cores in parts.items())


def plan(cores: Sequence[int]) -> Plan:
    """From three cores on the server under test has one of its own; what is left is dealt to the others."""
    if len(cores) < 3:
        every = frozenset(cores)
        return Plan(every, every, every, every, "too few cores: nothing is pinned, the figures mean little")
    first, *rest = sorted(cores)
    dealt = [frozenset(rest[i :: min(3, len(rest))]) for i in range(min(3, len(rest)))]
    upstream, load, stores = dealt[0], dealt[1], dealt[2 % len(dealt)]
    note = "each part on cores of its own" if len(dealt) == 3 else "too few cores: the stores share the upstream's"
    return Plan(frozenset({first}), upstream, load, stores, note)


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
def moved(pids: Iterable[int], cores: Cores, *, back_to: Cores) -> Iterator[None]:
    """Meanwhile these processes, with all that they started, run on `cores`; so does what they start."""
    _move(pids, cores)
    try:
        yield
    finally:
        _move(pids, back_to)


def _move(pids: Iterable[int], cores: Cores) -> None:
    for pid in pids:
        top = psutil.Process(pid)
        for process in [top, *top.children(recursive=True)]:
            with suppress(psutil.NoSuchProcess, ProcessLookupError):  # a connection of Postgres that was just closed
                for thread in process.threads():
                    os.sched_setaffinity(thread.id, cores)
