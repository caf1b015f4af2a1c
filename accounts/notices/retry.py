"""How long to wait before a delivery is tried again, and when to give it up. Pure: the dice are handed in."""

from dataclasses import dataclass

# 10 s, 20 s, 40 s ... 12 h: a receiver that restarts is told soon, one that is down for a day is not worn out.
FIRST_WAIT_S = 10.0
LONGEST_WAIT_S = 12 * 3600.0


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Whichever limit is reached first ends it. The defaults come to about two days."""

    max_attempts: int = 20
    max_age_s: float = 3 * 86_400.0


def next_wait_s(
    policy: RetryPolicy, attempts: int, age_s: float, dice: float, asked_s: float | None = None
) -> float | None:
    """Seconds until the next attempt after `attempts` failed ones, or None: give up.

    Full jitter: `dice` (0 to 1) times the doubling wait, so that what failed together does not come back together.
    `asked_s` is what the receiver asked for (Retry-After): at least so long, within LONGEST_WAIT_S.
    """
    if attempts >= policy.max_attempts or age_s >= policy.max_age_s:
        return None
    ceiling_s = LONGEST_WAIT_S
    if attempts - 1 < _DOUBLINGS:
        ceiling_s = min(LONGEST_WAIT_S, FIRST_WAIT_S * 2 ** (attempts - 1))
    return max(dice * ceiling_s, min(asked_s or 0.0, LONGEST_WAIT_S))


# More doublings than reach LONGEST_WAIT_S.
_DOUBLINGS = 16
