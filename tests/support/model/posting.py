"""What a Postgres transaction does: posting one event (ledger/posting.py, ledger/sql/posting.sql), and credits."""

from tests.support.model.scripts import placed
from tests.support.model.state import Event, Postgres, Row, Setup


def post(postgres: Postgres, event: Event, setup: Setup) -> Postgres:
    """New: inserted and debited. Recovered and now known better: corrected, by the difference. Else a duplicate."""
    row, rules = postgres.rows[event.request], setup.rules
    if row is None or not rules.post_once:
        return _insert(postgres, event, row, setup)
    is_better = not event.is_recovered or (rules.recovery_may_grow and event.cost > row.cost)
    if row.is_recovered and is_better and rules.truth_corrects:
        return _correct(postgres, event, row, setup)
    return postgres


def _insert(postgres: Postgres, event: Event, row: Row | None, setup: Setup) -> Postgres:
    paid = _takes(postgres, event, event.cost, setup)
    before = row or Row(0, 0, False, 0, 0, False)
    written = Row(
        event.cost, before.paid + paid, event.is_recovered, before.debits + (paid > 0), before.corrections, False
    )
    return _move(postgres, event.request, written, paid, setup)


def _correct(postgres: Postgres, event: Event, row: Row, setup: Setup) -> Postgres:
    owed = event.cost - row.paid
    moved = owed if owed < 0 else _takes(postgres, event, owed, setup)
    written = row._replace(
        cost=event.cost,
        paid=row.paid + moved,
        is_recovered=event.is_recovered,
        corrections=row.corrections + (moved != 0),
    )
    return _move(postgres, event.request, written, moved, setup)


def _takes(postgres: Postgres, event: Event, owed: int, setup: Setup) -> int:
    """What is paid now: never more than is owed or the wallet has."""
    bound = owed if setup.rules.posts_by_room else min(owed, event.charge)
    return min(bound, max(0, postgres.balance - setup.floor)) if setup.rules.post_clamped else bound


def _move(postgres: Postgres, request: int, row: Row, moved: int, setup: Setup) -> Postgres:
    balance = postgres.balance - moved
    row = row._replace(is_dry=balance <= setup.floor)
    changed = postgres._replace(balance=balance, rows=placed(postgres.rows, request, row))
    return changed._replace(version=postgres.version + 1) if moved else changed


def credit(postgres: Postgres, amount: int) -> Postgres:
    """A top-up, or an operator's own UPDATE, which the trigger records as an adjustment."""
    return postgres._replace(
        balance=postgres.balance + amount, credited=postgres.credited + amount, version=postgres.version + 1
    )
