"""What becomes of a request that was recovered and truly settled as well.

A proxy that dies leaves its requests to be settled at their last checkpoint, as `recovered`. It may only have seemed
dead: then the true settlement comes too, and is what counts; or it went on and then died, and is recovered again,
further on. What is posted already is corrected (sql/corrections.sql); of what is in one batch, only the last word is
posted.
"""

from collections.abc import Sequence
from uuid import UUID

from ledger.entries import RECOVERED, SettledEntry
from runtime.sql import load_queries

CORRECT_USAGE = load_queries("ledger", "sql/corrections.sql")["correct_usage"]


def is_recovered(settled: SettledEntry) -> bool:
    return settled.entry.end_reason == RECOVERED


def without_superseded(entries: Sequence[SettledEntry]) -> Sequence[SettledEntry]:
    """One entry of each request: the true one, or else what was recovered last, which is the most."""
    if not any(map(is_recovered, entries)):
        return entries
    best: dict[UUID, SettledEntry] = {}
    for settled in entries:
        known = best.setdefault(settled.entry.request_id, settled)
        if is_recovered(known) and (not is_recovered(settled) or settled.entry.cost_nanos > known.entry.cost_nanos):
            best[settled.entry.request_id] = settled
    return list(best.values())
