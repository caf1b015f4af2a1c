"""Usage of months past, posted as the ledger posts it."""

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from ledger.entries import SettledEntry, WalletState
from ledger.postgres import Store
from runtime.clock import wall_ms
from runtime.ids import new_request_id
from runtime.postgres import Pool
from tests.support.ledger import settled

MIDDLE_DAY = 15


def month_back(months: int) -> date:
    """The first day of the month that was so many months ago."""
    today = datetime.fromtimestamp(wall_ms() / 1000, UTC)
    year, month = divmod(today.year * 12 + today.month - 1 - months, 12)
    return date(year, month + 1, 1)


def entry_back(wallet: WalletState, months: int, cost_nanos: int = 1000, **changes: Any) -> SettledEntry:
    """A request from the middle of that month, or from now."""
    first = month_back(months)
    middle = datetime(first.year, first.month, MIDDLE_DAY, 12, tzinfo=UTC)
    ms = int(middle.timestamp() * 1000) if months else wall_ms()
    return settled(wallet, cost_nanos, **({"request_id": new_request_id(ms)} | changes))


async def make_partitions(pool: Pool, months: int) -> None:
    """Those of so many months past: as they would be had Farebox run then."""
    for back in range(1, months + 1):
        await pool.execute("SELECT farebox_make_usage_partition($1)", month_back(back))


async def post_months(store: Store, wallet: WalletState, months: int, each: int = 3) -> list[SettledEntry]:
    """Some requests in each of so many months past, and in the running one."""
    await make_partitions(store.pool, months)
    entries = [entry_back(wallet, back, 1000 + n) for back in range(months + 1) for n in range(each)]
    await store.post(entries)
    return entries


async def requests_by_month(pool: Pool) -> dict[date, int]:
    rows = await pool.fetch(
        "SELECT date_trunc('month', created_at AT TIME ZONE 'UTC')::date, count(*) FROM ai_usage_logs GROUP BY 1"
    )
    return dict(map(tuple, rows))


def files_in(folder: Path) -> list[Path]:
    return sorted(folder.iterdir())
