"""When the owner of a wallet is told that its balance is low or empty, and when once more. Pure.

Told once is told: a balance that wavers around the threshold must not send a mail each time. It is said again only
after the balance has been well above the threshold, or a top-up has lifted it over it.
"""

from dataclasses import dataclass
from typing import Literal

from accounts.notices.outbox import EventKind

# What was said last; `ok`: whatever comes next is news. A wallet that never had money is `empty`, and was told nothing.
Level = Literal["ok", "low", "empty"]

# "Well above": a quarter more than the threshold.
REARM_NUMERATOR, REARM_DENOMINATOR = 5, 4


@dataclass(frozen=True, slots=True)
class Look:
    """One wallet at one moment, nano-dollars. `threshold_nanos` 0: only an empty wallet is of interest.

    `peak_nanos` is the highest balance since the look before, `topup_peak_nanos` the highest right after a top-up; None
    where there were no such lines. At level `ok` neither is needed.
    """

    level: Level
    balance_nanos: int
    threshold_nanos: int
    peak_nanos: int | None = None
    topup_peak_nanos: int | None = None


def rearm_nanos(threshold_nanos: int) -> int:
    """The balance from which on a fall below the threshold is news again; rounded up."""
    return -(-threshold_nanos * REARM_NUMERATOR // REARM_DENOMINATOR)


def judge(look: Look) -> tuple[Level, EventKind | None]:
    """The new level, and what is announced if anything."""
    level = _rearmed(look)
    if look.balance_nanos <= 0:
        return "empty", None if level == "empty" else "balance.empty"
    if look.balance_nanos < look.threshold_nanos and level == "ok":
        return "low", "balance.low"
    return level, None


def _rearmed(look: Look) -> Level:
    """What counts as said, after what the balance has been through since."""
    if look.level == "ok":
        return "ok"
    peak = max(look.balance_nanos, look.peak_nanos or 0)
    topup_peak = look.topup_peak_nanos or 0
    # From empty to the threshold is a long way: no margin is asked for.
    enough = look.threshold_nanos if look.level == "empty" else rearm_nanos(look.threshold_nanos)
    if 0 < peak >= enough or 0 < topup_peak >= look.threshold_nanos:
        return "ok"
    return "low" if topup_peak > 0 else look.level
