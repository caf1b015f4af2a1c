"""A token bucket in integers: the reference for the buckets in `lua/admit.lua`.

The level is kept in *token-milliseconds*: one token costs `period_ms` of them, and each millisecond brings `capacity`.
A bucket of `capacity` tokens per `period_ms` is then exact, with no fraction to round and none to lose.
"""

from msgspec import Struct

MINUTE_MS = 60_000
DAY_MS = 86_400_000
# capacity x DAY_MS, a day's tokens there or a day's tokens owed, must stay below 2^53, where Lua's numbers stop being
# exact integers.
MAX_CAPACITY = 100_000_000
assert MAX_CAPACITY * DAY_MS < 2**53


class Bucket(Struct, frozen=True):
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

    def at_most(self, tokens: int) -> int:
        """So many, or a bucketful: what is larger than the bucket waits until it is full, not for ever."""
        return min(tokens, self.capacity)

    def has(self, tokens: int = 1) -> bool:
        return self.capacity > 0 and self.level >= self.at_most(tokens) * self.period_ms

    def taken(self, tokens: int = 1) -> "Bucket":
        assert self.has(tokens)
        return Bucket(self.capacity, self.period_ms, self.level - self.at_most(tokens) * self.period_ms)

    def corrected(self, taken: int, used: int) -> "Bucket":
        """The bucket when it turns out that `used` tokens were used where `taken` were taken.

        It may owe tokens then, at most what comes back in a day.
        """
        most_owed = self.capacity * (DAY_MS // self.period_ms)
        level = self.level + (taken - min(used, most_owed)) * self.period_ms
        level = max(-most_owed * self.period_ms, min(self.capacity * self.period_ms, level))
        return Bucket(self.capacity, self.period_ms, level)

    @property
    def remaining(self) -> int:
        """Whole tokens that could be taken now."""
        return max(0, self.level // self.period_ms)

    def has_in_ms(self, tokens: int = 1) -> int:
        """Milliseconds until so many can be taken; a bucket without capacity is asked again in a period."""
        return self._gained_in_ms(self.at_most(tokens) * self.period_ms)

    @property
    def full_in_ms(self) -> int:
        """Milliseconds until the bucket is full."""
        return self._gained_in_ms(self.capacity * self.period_ms)

    def _gained_in_ms(self, level: int) -> int:
        if self.capacity == 0:
            return self.period_ms
        return max(0, -(-(level - self.level) // self.capacity))
