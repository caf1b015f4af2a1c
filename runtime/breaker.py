"""A circuit breaker: a dependency that fails is left alone for a while, and tried by one caller at a time.

Slow is worse than dead: every caller would wait out its timeout. Open, the breaker refuses at once.
"""

from dataclasses import dataclass


@dataclass(slots=True)
class Breaker:
    """Opens after `failures_to_open` failures in a row, lets one caller try every `open_ms`, closes on success.

    Times are monotonic milliseconds, handed in.
    """

    failures_to_open: int
    open_ms: int
    _failures: int = 0
    _retry_at_ms: int = 0

    @property
    def is_open(self) -> bool:
        return self._failures >= self.failures_to_open

    @property
    def has_failures(self) -> bool:
        """Has anything failed since the last success?"""
        return self._failures > 0

    def allows(self, now_ms: int) -> bool:
        """May this caller go ahead? While open, one caller per `open_ms` may."""
        if not self.is_open:
            return True
        if now_ms < self._retry_at_ms:
            return False
        self._retry_at_ms = now_ms + self.open_ms
        return True

    def retry_after_ms(self, now_ms: int) -> int:
        return max(0, self._retry_at_ms - now_ms) if self.is_open else 0

    def succeeded(self) -> None:
        self._failures = 0

    def failed(self, now_ms: int) -> None:
        self._failures += 1
        if self._failures == self.failures_to_open:
            self._retry_at_ms = now_ms + self.open_ms
