"""Money: integers of nano-dollars (10^-9 USD) in code and in Redis, `numeric(20,9)` in Postgres. Never a float.

A single amount or balance is at most `MAX_NANOS`. Lua, in which Redis does its arithmetic, has no integers: its
doubles are exact up to 2^53. Nine million dollars a wallet is below that with room for one addition.
"""

import re
from decimal import Decimal, InvalidOperation
from typing import NewType

Nanos = NewType("Nanos", int)

NANOS_PER_DOLLAR = 1_000_000_000
MAX_NANOS = Nanos(9_000_000 * NANOS_PER_DOLLAR)
assert MAX_NANOS < 2**53
_MAX_DOLLARS = MAX_NANOS // NANOS_PER_DOLLAR
_PLACES = Decimal("0.000000001")
# Decimal() would also take `1_0`, digits of other scripts and `NaN`.
_PLAIN = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]{1,3})?")


class MoneyError(ValueError):
    """Not an amount of dollars that can be held exactly."""


def parse_dollars(text: str | int | Decimal) -> Nanos:
    """Dollars to nano-dollars, exactly.

    Raises MoneyError for what is not a finite number, has more than nine decimals or is beyond `MAX_NANOS`.
    """
    if isinstance(text, str) and not _PLAIN.fullmatch(text):
        raise MoneyError(f"not a number of dollars: {text!r}")
    try:
        dollars = Decimal(text)
    except (InvalidOperation, TypeError, ValueError) as error:
        raise MoneyError(f"not a number of dollars: {text!r}") from error
    # compared, not computed with: abs() of 1E+1000000 is an overflow
    if not dollars.is_finite() or not -_MAX_DOLLARS <= dollars <= _MAX_DOLLARS:
        raise MoneyError(f"not within {_MAX_DOLLARS} dollars")
    if dollars != dollars.quantize(_PLACES):
        raise MoneyError(f"more than nine decimals: {text!r}")
    return Nanos(int(dollars.scaleb(9)))


def to_decimal(nanos: int) -> Decimal:
    """Nano-dollars as the exact decimal of dollars that `numeric(20,9)` holds."""
    return Decimal(nanos).scaleb(-9)


def from_decimal(dollars: Decimal) -> Nanos:
    """A `numeric(20,9)` as nano-dollars; what Postgres holds is always representable."""
    return Nanos(int(dollars.scaleb(9)))


def format_dollars(nanos: int) -> str:
    """Dollars in plain notation without trailing zeros: `0.0125`, `10`, `-3.5`."""
    sign = "-" if nanos < 0 else ""
    whole, fraction = divmod(abs(nanos), NANOS_PER_DOLLAR)
    return f"{sign}{whole}.{fraction:09d}".rstrip("0").rstrip(".")
