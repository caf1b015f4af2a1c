"""A client that leaves in the middle: is the rest of its answer worth reading? Pure, but for counting who reads.

Worth it is an answer that is all generated, with only its usage missing: that is a frame away. And, by the operator's
or the kind's choice (`drain`), any answer of a provider that bills us in full whoever listens.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from metering.kinds import OnClientLeft
from metering.tap import Tap
from proxy.routing import Route

# The usage frame follows the finish reason at once; a server that takes longer does not send one.
GRACE_S = 2.0


class Drains:
    """How many answers are being read without a client, for each upstream."""

    def __init__(self) -> None:
        self._running: Counter[str] = Counter()

    def reads_on_s(self, route: Route, tap: Tap) -> float | None:
        """For how long to read on, in seconds; None: cut it."""
        settings = route.settings
        if self._running[settings.name] >= settings.max_drains:
            return None
        if route.on_client_left is OnClientLeft.DRAIN:
            return settings.drain_timeout_s
        is_a_frame_away = tap.is_finished and tap.reading.is_empty and not tap.has_error
        return GRACE_S if is_a_frame_away else None

    @contextmanager
    def reading(self, route: Route) -> Iterator[None]:
        self._running[route.settings.name] += 1
        try:
            yield
        finally:
            self._running[route.settings.name] -= 1
