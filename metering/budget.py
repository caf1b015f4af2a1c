"""What a key has spent and holds against its budgets, per UTC day, per UTC month and ever: the reference for
`lua/admit.lua` and `lua/settle.lua`. Days and months are counted as `ledger.entries.KeySpent` says.
"""

from datetime import date, timedelta

from msgspec.structs import replace

from ledger.entries import KeySpent
from metering.bucket import DAY_MS

_FIRST_DAY = date(1970, 1, 1)


def day_at(now_ms: int) -> int:
    return now_ms // DAY_MS


def month_of(day: int) -> int:
    """The year times twelve plus the month."""
    when = _FIRST_DAY + timedelta(days=day)
    return when.year * 12 + when.month


def counted_until(spent: KeySpent, now_ms: int) -> KeySpent:
    """A new day or month begins at nothing. Periods only go on: a clock that was set back empties none twice."""
    today = day_at(now_ms)
    month = month_of(today)
    return replace(
        spent,
        day=max(today, spent.day),
        month=max(month, spent.month),
        day_nanos=0 if today > spent.day else spent.day_nanos,
        month_nanos=0 if month > spent.month else spent.month_nanos,
    )


def changed_by(spent: KeySpent, nanos: int, day: int, month: int) -> KeySpent:
    """`nanos` more, or less, for a request admitted in that day and month: what is over is counted no more."""
    return replace(
        spent,
        day_nanos=spent.day_nanos + (nanos if day == spent.day else 0),
        month_nanos=spent.month_nanos + (nanos if month == spent.month else 0),
        total_nanos=spent.total_nanos + nanos,
    )
