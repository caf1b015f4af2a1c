"""The one place that asks what time it is; everything else is handed the answer."""

import time
from collections.abc import Callable

ClockMs = Callable[[], int]

# Nanoseconds from the same start as `monotonic_ms`: for what is too short for milliseconds. Not a function of ours, so
# that a request may ask several times at no cost.
monotonic_ns = time.monotonic_ns


def wall_ms() -> int:
    """Milliseconds since 1970, UTC. May jump; use it for dates, never for durations."""
    return time.time_ns() // 1_000_000


def monotonic_ms() -> int:
    """Milliseconds from an arbitrary start, never backwards. Use it for durations and deadlines."""
    return time.monotonic_ns() // 1_000_000
