"""How far one request has come, and when: what its log line and the metrics tell of it."""

from typing import TYPE_CHECKING

from msgspec import Struct, field

from proxy.keys.cache import Identity
from runtime.clock import monotonic_ns

if TYPE_CHECKING:
    from opentelemetry.trace import Span

_NS_PER_MS, _NS_PER_US = 1_000_000, 1_000


class Pace(Struct, eq=False):
    """Moments are nanoseconds of the monotonic clock; 0: it has not happened.

    `uploading_ns` is a length: how long we waited for the body. `sent_ns`: upstream, for the first time. `identity` and
    `model` are there once they are known, a model if it has a price; `span` where it is traced.

    After `close`: `duration_ms` from the request to its end; `added_us`, what Farebox took before the upstream had the
    request; `first_byte_us`, how long the upstream took to begin its answer. The last two are None where that did not
    happen.
    """

    began_ns: int = field(default_factory=monotonic_ns)
    uploading_ns: int = 0
    sent_ns: int = 0
    closed_ns: int = 0
    identity: Identity | None = None
    model: str | None = None
    span: "Span | None" = None
    duration_ms: int = 0
    added_us: int | None = None
    first_byte_us: int | None = None

    def close(self, first_ns: int = 0) -> None:
        """It was decided how it ends. `first_ns`: when the first byte of the answer's body came from the upstream."""
        self.closed_ns = closed_ns = monotonic_ns()
        began_ns, sent_ns = self.began_ns, self.sent_ns
        self.duration_ms = (closed_ns - began_ns) // _NS_PER_MS
        if sent_ns:
            self.added_us = (sent_ns - began_ns - self.uploading_ns) // _NS_PER_US
            if first_ns:
                self.first_byte_us = (first_ns - sent_ns) // _NS_PER_US
