"""What libraries import if it happens to be there, for something that nobody asks of them here: kept from a start."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

# Together a fifth of what a start imports: redis-py's own metrics, which are off, and a developer's coloured tracebacks
# of structlog's.
_NOT_ASKED_FOR = ("opentelemetry.metrics", "opentelemetry.sdk.metrics", "rich")


@contextmanager
def lean() -> Iterator[None]:
    """For imports: inside, those are not there. What was imported before stays, and afterwards all can be had."""
    modules = cast("dict[str, Any]", sys.modules)
    hidden = [name for name in _NOT_ASKED_FOR if name not in modules]
    modules.update(dict.fromkeys(hidden))  # None says that there is no such module
    try:
        yield
    finally:
        for name in hidden:
            modules.pop(name, None)
