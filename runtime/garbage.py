"""Python's garbage collector, kept away from what stays."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

# What a request, or a batch of events, takes is a few hundred or thousand objects, freed by count as it ends. At the
# default of 700 the collector looks through them every other request, or several times for each batch, and finds
# nothing: of a ledger writer's time that was a third.
_COLLECT_AFTER_OBJECTS = 50_000


def collect_rarely() -> None:
    """For a process that has been set up: what is there stays, and is not looked through at every collection."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_COLLECT_AFTER_OBJECTS, 10, 10)


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
