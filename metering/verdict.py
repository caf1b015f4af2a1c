"""What admission can find, in the order in which it is found out."""

from enum import IntEnum

REFUSED_MARK = "!"


class Outcome(IntEnum):
    """In order of precedence after ADMITTED; the numbers are those of `lua/admit.lua`."""

    ADMITTED = 0
    UNKNOWN_KEY = 1
    KEY_REFUSED = 2
    KEY_FROZEN = 3
    STALE_POLICY = 4
    POLICY_REFUSED = 5
    BACKLOGGED = 6
    OVER_MINUTE = 7
    OVER_DAY = 8
    OVER_TOKENS = 9
    TOO_MANY_OPEN = 10
    UNKNOWN_WALLET = 11
    WALLET_FROZEN = 12
    OVER_BUDGET_DAY = 13
    OVER_BUDGET_MONTH = 14
    OVER_BUDGET_TOTAL = 15
    NO_FUNDS = 16


# By number; asking the enum for one takes ten times as long.
OUTCOMES = tuple(Outcome)
