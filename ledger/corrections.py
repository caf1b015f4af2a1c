"""What becomes of a request that was recovered and truly settled as well.

A proxy that dies leaves its requests to be settled at their last checkpoint, as `recovered`. It may only have seemed
dead: then the true settlement comes too, and is what counts. If the other is posted already, it is corrected, once
(sql/corrections.sql); if both are in one batch, only the true one is posted.
"""

from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID

from ledger.entries import RECOVERED, SettledEntry
from runtime.sql import load_queries

CORRECT_USAGE = load_queries("ledger", "sql/corrections.sql")["correct_usage"]


def is_recovered(settled: SettledEntry) -> bool:
    return settled.entry.end_reason == RECOVERED


def without_superseded(entries: Sequence[SettledEntry]) -> Sequence[SettledEntry]:
    """The batch without what was recovered and is truly settled in it as well.

    What both were granted pays for the true one: it was settled while the other's charge was taken from the wallet.
    """
    recovered: dict[UUID, SettledEntry] = {}
    for settled in entries:
        if is_recovered(settled):
            recovered.setdefault(settled.entry.request_id, settled)
    if not recovered:
        return entries
    true_ones = {settled.entry.request_id for settled in entries if not is_recovered(settled)} & recovered.keys()
    return [
        _granted_both(settled, recovered[settled.entry.request_id])
        if settled.entry.request_id in true_ones
        else settled
        for settled in entries
        if not (is_recovered(settled) and settled.entry.request_id in true_ones)
    ]


def _granted_both(true: SettledEntry, recovered: SettledEntry) -> SettledEntry:
    return replace(true, charge_nanos=min(true.entry.cost_nanos, true.charge_nanos + recovered.charge_nanos))
