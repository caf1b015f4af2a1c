"""What becomes of a request that was recovered and is settled again.

A proxy that dies leaves its requests to be settled at their last checkpoint, as `recovered`. It may only have seemed
dead: then the true settlement comes too, and is what counts. Or it went on under a new hold and died later: then a
second recovery knows of more, and counts more than the first. What is posted already is corrected
(sql/corrections.sql); of what is in one batch, only what counts most is posted.
"""

from collections.abc import Sequence
from uuid import UUID

from ledger.entries import RECOVERED, SettledEntry
from runtime.sql import load_queries

CORRECT_USAGE = load_queries("ledger", "sql/corrections.sql")["correct_usage"]


def is_recovered(settled: SettledEntry) -> bool:
    return settled.entry.end_reason == RECOVERED


def without_superseded(entries: Sequence[SettledEntry]) -> Sequence[SettledEntry]:
    """The batch with one event for each request: the true one, or else the recovered one with the greatest cost.

    Where nothing was recovered, the batch as it is.
    """
    if not any(map(is_recovered, entries)):
        return entries
    kept: dict[UUID, SettledEntry] = {}
    for settled in entries:
        known = kept.get(settled.entry.request_id)
        if known is None or _supersedes(settled, known):
            kept[settled.entry.request_id] = settled
    return list(kept.values())


def _supersedes(settled: SettledEntry, known: SettledEntry) -> bool:
    if not is_recovered(known):
        return False
    return not is_recovered(settled) or settled.entry.cost_nanos > known.entry.cost_nanos
