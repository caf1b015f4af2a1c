"""A token bucket in integers: the reference for the buckets in `lua/admit.lua`.

The level is kept in *token-milliseconds*: one token costs `period_ms` of them, and each millisecond brings `capacity`.
A bucket of `capacity` tokens per `period_ms` is then exact, with no fraction to round and none to lose.
"""

from dataclasses import dataclass

MINUTE_MS = 60_000
DAY_MS = 86_400_000
# capacity x DAY_MS must stay below 2^53, where Lua's numbers stop being exact integers.
MAX_CAPACITY = 100_000_000
assert MAX_CAPACITY * DAY_MS < 2**53


@dataclass(frozen=True, slots=True)
class Bucket:
    """`capacity` tokens per `period_ms` milliseconds, holding `level` token-milliseconds."""

    capacity: int
    period_ms: int
    level: int

    @classmethod
    def full(cls, capacity: int, period_ms: int) -> "Bucket":
        return cls(capacity, period_ms, capacity * period_ms)

    def after(self, elapsed_ms: int) -> "Bucket":
        """The bucket some time later; a clock that went back brings nothing and takes nothing."""
        gained = max(0, elapsed_ms) * self.capacity
        return Bucket(self.capacity, self.period_ms, min(self.capacity * self.period_ms, self.level + gained))

    @property
    def has_token(self) -> bool:
        return self.capacity > 0 and self.level >= self.period_ms

    def taken(self) -> "Bucket":
        assert self.has_token
        return Bucket(self.capacity, self.period_ms, self.level - self.period_ms)

    @property
    def remaining(self) -> int:
        """Whole tokens that could be taken now."""
        return self.level // self.period_ms

    @property
    def token_in_ms(self) -> int:
        """Milliseconds until a token can be taken; a bucket without capacity is asked again in a period."""
        return self._gained_in_ms(self.period_ms)

    @property
    def full_in_ms(self) -> int:
        """Milliseconds until the bucket is full."""
        return self._gained_in_ms(self.capacity * self.period_ms)

    def _gained_in_ms(self, level: int) -> int:
        if self.capacity == 0:
            return self.period_ms
        return max(0, -(-(level - self.level) // self.capacity))
