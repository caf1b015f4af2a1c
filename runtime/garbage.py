"""Python's garbage collector, kept away from what stays."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

# What a request, or a batch of events, takes is a few hundred or thousand objects, freed by count as it ends. At the
# default of 700 the collector looks through them every other request, or several times for each batch, and finds
# nothing: of a ledger writer's time that was a third.
_COLLECT_AFTER_OBJECTS = 50_000
# A collection looks through what came since the last, at a quarter to half a microsecond an object, and nobody is
# served meanwhile: where streams pass, it is a fifth of that at a time, and older ones are looked through as rarely.
_PARTS = 5


def collect_rarely(*, shortly: bool = False) -> None:
    """For a process that has been set up: what is there stays, and is not looked through at every collection.

    `shortly`: as rarely in all, but less at a time. For a process in which somebody always waits.
    """
    gc.collect()
    gc.freeze()
    parts = _PARTS if shortly else 1
    gc.set_threshold(_COLLECT_AFTER_OBJECTS // parts, 10 * parts, 10)


@contextmanager
def uncollected() -> Iterator[None]:
    """What is made inside is not looked through for garbage, now or later.

    For imports. They make objects by the hundred thousand, all of which stay, and the collector would look through
    them again and again meanwhile: a sixth of a start. What little garbage they leave stays too.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
