"""Wrong keys that begin like somebody's: how much of a core bcrypt may take for those of one prefix, and whose turn it
is meanwhile. Pure but for the clock.

One number for each prefix: when what its wrong keys took will have been rested off (GCRA, a leaky bucket in one
number). Right keys cost nothing here. While a prefix is being guessed, who was turned away and comes back goes first:
an owner's client does that, and a flood of keys of which no two are alike does not.
"""

import time
from collections.abc import Callable

from runtime.expiring import Expiring

# A twentieth of a core.
_REST_PER_CPU_S = 20.0
# Four wrong keys at the usual cost of bcrypt, 50 ms: more than anybody mistypes. From then on only who comes back.
_GUESSED_S = 4.0
# Eight, then nobody, until some of it is rested off.
_SPENT_S = 8.0
# That wait for bcrypt. Wrong keys with somebody's right prefix may not keep everybody else from being verified.
_PLACES = 2
# Only of prefixes that somebody has. Of more than that the one whose last wrong key is longest ago is forgotten.
_MAX_PREFIXES = 10_000
# A refusal says Retry-After: 1. The flood that was measured, 5,000 a second, is remembered for ten seconds.
_BACK_AFTER_S = 0.5
_TURNED_AWAY_TTL_S = 60.0
_MAX_TURNED_AWAY = 50_000


class Guesses:
    """Prefixes are in the clear, `name` is a key's HMAC."""

    def __init__(
        self,
        *,
        max_prefixes: int = _MAX_PREFIXES,
        max_turned_away: int = _MAX_TURNED_AWAY,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._max_prefixes = max_prefixes
        self._clock_s = clock_s
        self._rested_at_s: dict[str, float] = {}
        self._turned_away: Expiring[str, float] = Expiring(max_turned_away, _TURNED_AWAY_TTL_S, clock_s)

    def __len__(self) -> int:
        """How many prefixes are remembered."""
        return len(self._rested_at_s)

    def places(self, prefix: str, name: str) -> int:
        """How many keys of this prefix may be in line for bcrypt, if this one is to join them."""
        now_s = self._clock_s()
        left_s = self._rested_at_s.get(prefix, 0.0) - now_s
        if left_s <= 0:
            return _PLACES
        if left_s >= _SPENT_S:
            return 0
        since_s = self._turned_away.get(name)
        if since_s is not None and now_s - since_s >= _BACK_AFTER_S:
            return _PLACES  # also while another is being checked: the two may come in step, a second apart
        return 1 if left_s < _GUESSED_S else 0

    def turned_away(self, name: str) -> None:
        """It was not checked. Told again it does not wait anew."""
        if self._turned_away.get(name) is None:
            self._turned_away.put(name, self._clock_s())

    def wrong(self, prefix: str, cpu_s: float) -> None:
        """One more was, and took so long to check."""
        rested_at_s = max(self._rested_at_s.pop(prefix, 0.0), self._clock_s()) + cpu_s * _REST_PER_CPU_S
        if len(self._rested_at_s) >= self._max_prefixes:
            del self._rested_at_s[next(iter(self._rested_at_s))]
        self._rested_at_s[prefix] = rested_at_s
