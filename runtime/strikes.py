"""How often each address failed of late, and whether it may try again: bounded in memory, however many come.

One number for each: until when its failures are to be forgiven, each of which takes its share of a minute (GCRA, as a
leaky bucket in one number). Whoever has used up the minute waits for one share at a time. Pure but for the clock.
"""

from runtime.addresses import neighbourhood
from runtime.clock import ClockMs, monotonic_ms

_MINUTE_US = 60_000_000
# About 10 MB. Of more than that the one that failed longest ago is forgotten, and begins anew.
_MAX_ADDRESSES = 50_000


class Strikes:
    """`per_minute` failures of one address (one /64 of IPv6) are borne; 0: any number."""

    def __init__(
        self, per_minute: int, *, max_addresses: int = _MAX_ADDRESSES, clock_ms: ClockMs = monotonic_ms
    ) -> None:
        self.per_minute = per_minute
        self._max_addresses = max_addresses
        self._clock_ms = clock_ms
        self._forgiven_at_us: dict[str, int] = {}

    def __len__(self) -> int:
        """How many addresses are remembered."""
        return len(self._forgiven_at_us)

    def wait_ms(self, address: str) -> int:
        """How long it has to wait before it may try; 0: it may."""
        if self.per_minute == 0:
            return 0
        owed_us = self._forgiven_at_us.get(neighbourhood(address), 0) - self._clock_ms() * 1000
        return max(0, -(-(owed_us + self._share_us - _MINUTE_US) // 1000))

    def strike(self, address: str) -> None:
        """It fails, or tries what may fail: `forgive` takes that back."""
        if self.per_minute == 0:
            return
        who, now_us = neighbourhood(address), self._clock_ms() * 1000
        until_us = max(self._forgiven_at_us.pop(who, 0), now_us) + self._share_us
        if len(self._forgiven_at_us) >= self._max_addresses:
            del self._forgiven_at_us[next(iter(self._forgiven_at_us))]
        self._forgiven_at_us[who] = until_us

    def forgive(self, address: str) -> None:
        """One `strike` was none."""
        who = neighbourhood(address)
        until_us = self._forgiven_at_us.get(who, 0) - self._share_us if self.per_minute else 0
        if until_us > self._clock_ms() * 1000:
            self._forgiven_at_us[who] = until_us
        else:
            self._forgiven_at_us.pop(who, None)

    @property
    def _share_us(self) -> int:
        return _MINUTE_US // self.per_minute
