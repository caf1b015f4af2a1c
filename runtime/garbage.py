"""Python's garbage collector, kept away from what stays."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


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
