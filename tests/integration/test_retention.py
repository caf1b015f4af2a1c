"""Months of the usage log that are dropped: what stays, what is archived, and what stops it."""

import asyncio
import csv
import gzip
import hashlib
import io
import signal
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from msgspec.structs import replace

from accounts.dead_letters import DeadLetters
from accounts.errors import DeadLetterNotPosted, RefundTooLarge
from accounts.filters import Filter
from accounts.usage import Usage
from accounts.wallets import Wallets
from ledger import retention
from ledger.archive import ArchiveError
from ledger.audit import audit
from ledger.entries import RECOVERED
from ledger.postgres import Store
from ledger.retention import Retention, RetentionBusy, RetentionError
from runtime.postgres import Pool, create_pool
from runtime.sql import load_queries
from runtime.tasks import TaskSet
from tests.support.killed_retention import MONTHS
from tests.support.ledger import USD, funded_wallet, settled, until
from tests.support.months import entry_back, files_in, month_back, post_months, requests_by_month


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[Store]:
    pool = await create_pool(database_url)
    yield Store(pool)
    await pool.close()


class Unmirrored:
    async def push_wallets(self, wallet_ids: Any) -> None:
        """Redis is not asked here."""


async def all_holds(pool: Pool) -> None:
    """Whole, and from and to moments within what was dropped and what was kept."""
    edges = [datetime.combine(month_back(back), datetime.min.time(), UTC) + timedelta(days=14) for back in (4, 2, 0)]
    for since, before in [(None, None), *[(edge, None) for edge in edges], *[(None, edge) for edge in edges]]:
        report = await audit(pool, since, before)
        assert report.holds, report.violations


async def history(pool: Pool) -> list[Any]:
    """All that must not change when requests are dropped."""
    queries = (
        "SELECT * FROM ai_wallets ORDER BY id",
        "SELECT * FROM ai_transactions ORDER BY id",
        "SELECT * FROM ai_usage_daily ORDER BY user_id, day, api_key_id, model",
    )
    return [list(map(tuple, await pool.fetch(query))) for query in queries]


async def buried(pool: Pool) -> list[str]:
    return [row[0] for row in await pool.fetch("SELECT reason FROM farebox_dead_letters ORDER BY id")]


# What is dropped, and what stays


async def test_old_months_are_dropped_and_everything_else_stays(store: Store) -> None:
    wallets = [await funded_wallet(store) for _ in range(3)]
    for wallet in wallets:
        await post_months(store, wallet, 5)
    before = await history(store.pool)
    statistics = await Usage(store.pool).statistics(wallets[0].user_id, Filter())
    await all_holds(store.pool)
    assert [due.month for due in await Retention(store.pool, 2).due()] == [month_back(back) for back in (5, 4, 3)]

    retired = await Retention(store.pool, 2).run()

    assert [(done.month, done.requests, done.archive) for done in retired] == [
        (month_back(back), 9, None) for back in (5, 4, 3)
    ]
    assert await requests_by_month(store.pool) == {month_back(back): 9 for back in (2, 1, 0)}
    assert await history(store.pool) == before
    assert await Usage(store.pool).statistics(wallets[0].user_id, Filter()) == statistics
    await all_holds(store.pool)
    assert await Retention(store.pool, 2).due() == [] and await Retention(store.pool, 2).run() == []


async def test_unless_said_everything_is_kept(store: Store) -> None:
    await post_months(store, await funded_wallet(store), 30, each=1)
    assert await Retention(store.pool, None).due() == [] and await Retention(store.pool, None).run() == []
    assert len(await requests_by_month(store.pool)) == 31


async def test_months_go_on_being_dropped_as_time_passes(store: Store) -> None:
    """Fewer are kept each time: it is the same as if months had passed."""
    await post_months(store, await funded_wallet(store), 4)
    for kept in (3, 2, 1):
        (done,) = await Retention(store.pool, kept).run()
        assert done.month == month_back(kept + 1)
        await all_holds(store.pool)


async def test_requests_without_a_partition_of_their_month_are_dropped_too_the_oldest_first(store: Store) -> None:
    wallet = await funded_wallet(store)
    await post_months(store, wallet, 2)
    await store.post([entry_back(wallet, back) for back in (40, 9, 9, 7)])
    retired = await Retention(store.pool, 2).run()
    assert [done.month for done in retired] == [month_back(back) for back in (40, 9, 7)]
    await store.post([entry_back(wallet, 8)])
    assert len(await buried(store.pool)) == 1, "that month had none, and is older than what is gone"
    assert set(await requests_by_month(store.pool)) == {month_back(back) for back in (2, 1, 0)}


async def test_an_older_request_that_comes_in_between_goes_first(store: Store) -> None:
    wallet = await funded_wallet(store)
    await post_months(store, wallet, 3)
    reader = await store.pool.acquire()
    reading = reader.transaction()
    await reading.start()
    await reader.execute("LOCK TABLE ai_usage_logs_default IN ROW EXCLUSIVE MODE")  # it is about to be added
    waited: list[str] = []

    def let_go(step: str) -> None:
        waited.append(step)

    tasks = TaskSet()
    running = tasks.spawn(Retention(store.pool, 2, None, let_go).run(), name="retention")

    async def waits() -> bool:
        return "waiting" in waited

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(retention, "LOCK_PAUSE_S", 0.01)
        await until(waits)
        await store.post([entry_back(wallet, 6)])
        await reading.commit()
        await store.pool.release(reader)
        retired = await running
    assert [done.month for done in retired] == [month_back(6), month_back(3)]
    await all_holds(store.pool)


# The archive


async def test_what_is_dropped_is_in_a_file_row_by_row(store: Store, tmp_path: Path) -> None:
    wallet = await funded_wallet(store)
    await post_months(store, wallet, 2)
    odd = {"client_request_id": 'a "b",\nc;é', "upstream": "x"}
    await store.post([entry_back(wallet, 2, 7, error_message='two\nlines, "and" \' \\N', metadata=odd)])
    columns = "SELECT * FROM ai_usage_logs WHERE created_at < $1 ORDER BY id"
    old = await store.pool.fetch(columns, datetime.combine(month_back(1), datetime.min.time(), UTC))
    assert len(old) == 4

    (done,) = await Retention(store.pool, 1, tmp_path).run()

    assert done.archive is not None
    (path,) = files_in(tmp_path)
    packed = path.read_bytes()
    assert path.name == done.archive.name == f"ai_usage_logs_{month_back(2):%Y_%m}.{done.archive.sha256[:12]}.csv.gz"
    assert hashlib.sha256(packed).hexdigest() == done.archive.sha256 and len(packed) == done.archive.size_bytes
    assert path.stat().st_mode & 0o777 == 0o600, "whose usage it is, is not everybody's"
    rows = list(csv.DictReader(io.StringIO(gzip.decompress(packed).decode(), newline="")))
    async with store.pool.acquire() as connection, connection.transaction():
        await connection.execute("CREATE TEMPORARY TABLE again (LIKE ai_usage_logs) ON COMMIT DROP")
        source = io.BytesIO(gzip.decompress(packed))
        await connection.copy_to_table("again", source=source, format="csv", header=True)
        again = await connection.fetch("SELECT * FROM again ORDER BY id")
    assert list(map(tuple, again)) == list(map(tuple, old))
    assert sorted(row["id"] for row in rows) == sorted(str(row["id"]) for row in old)
    noted = await store.pool.fetchrow("SELECT month, requests, archive, archive_sha256 FROM farebox_retired_months")
    assert noted is not None and tuple(noted) == (month_back(2), 4, path.name, done.archive.sha256)


async def test_what_cannot_be_archived_is_not_dropped(store: Store, tmp_path: Path) -> None:
    await post_months(store, await funded_wallet(store), 3)
    with pytest.raises(ArchiveError, match="No such file or directory"):
        await Retention(store.pool, 1, tmp_path / "not mounted").run()
    assert len(await requests_by_month(store.pool)) == 4
    await all_holds(store.pool)
    assert len(await Retention(store.pool, 1, tmp_path).run()) == 2
    assert len(files_in(tmp_path)) == 2


async def test_a_file_that_is_gone_or_damaged_before_the_month_is_dropped_is_written_again(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await post_months(store, await funded_wallet(store), 2)

    def stop_when_archived(step: str) -> None:
        if step == "archived":
            raise retention.Stopped

    with pytest.raises(retention.Stopped):
        await Retention(store.pool, 1, tmp_path, stop_when_archived).run()
    (path,) = files_in(tmp_path)
    whole = path.read_bytes()
    path.write_bytes(whole[:-5] + b"xxxxx")
    told: list[str] = []
    await Retention(store.pool, 1, tmp_path, told.append).run()
    assert "written" in told and path.read_bytes() == whole


# Killed at any step


@pytest.mark.parametrize("step", ["closed", "summed up", "copying", "written", "archived", "dropped"])
async def test_whatever_step_it_dies_at_nothing_is_lost_and_the_next_run_goes_on(
    store: Store, database_url: str, tmp_path: Path, step: str
) -> None:
    await post_months(store, await funded_wallet(store), 3)
    before = await history(store.pool)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.support.killed_retention", database_url, str(tmp_path), step
    )
    try:
        assert await asyncio.wait_for(process.wait(), 60) == -signal.SIGKILL
    finally:
        if process.returncode is None:
            process.kill()
    await all_holds(store.pool)
    gone = 1 if step == "dropped" else 0
    assert len(await requests_by_month(store.pool)) == 4 - gone

    async def next_run() -> bool:  # Postgres may not have noticed yet that the other is dead
        try:
            return len(await Retention(store.pool, MONTHS, tmp_path).run()) == 2 - gone
        except RetentionBusy:
            return False

    await until(next_run)
    await all_holds(store.pool)
    assert await history(store.pool) == before
    assert set(await requests_by_month(store.pool)) == {month_back(1), month_back(0)}
    files = files_in(tmp_path)
    assert [path.name[:21] for path in files] == [f"ai_usage_logs_{month_back(back):%Y_%m}" for back in (3, 2)]
    assert [gzip.decompress(path.read_bytes()).count(b"\n") for path in files] == [4, 4]


# Late entries


async def stop_after_closing(pool: Pool) -> None:
    def stop(step: str) -> None:
        if step == "closed":
            raise retention.Stopped

    with pytest.raises(retention.Stopped):
        await Retention(pool, 1, None, stop).run()


@pytest.mark.parametrize("is_dropped", [False, True], ids=["closed", "dropped"])
async def test_what_comes_for_a_closed_month_is_set_aside_and_moves_no_money(store: Store, is_dropped: bool) -> None:
    wallet = await funded_wallet(store)
    await post_months(store, wallet, 2)
    known, recovered = entry_back(wallet, 2, 50), entry_back(wallet, 2, 60, end_reason=RECOVERED)
    await store.post([known, recovered])
    await (Retention(store.pool, 1).run() if is_dropped else stop_after_closing(store.pool))
    before = await history(store.pool)

    true = replace(recovered, entry=replace(recovered.entry, end_reason="complete", cost_nanos=70))
    late = [known, true, entry_back(wallet, 2, 80), entry_back(wallet, 2, 0), entry_back(wallet, 5, 90)]
    in_time = settled(wallet, 5)
    await store.post([in_time])
    after = await history(store.pool)
    outcome = await store.post([replace(entry, event_id=f"{n}-0") for n, entry in enumerate(late)])

    # what is known there is told from what is new as long as it is there, and by its debit afterwards
    assert (outcome.posted, outcome.buried) == (0, 5 if is_dropped else 4)
    assert await history(store.pool) == after and after != before
    report = await audit(store.pool)
    assert report.broken == {"no_usage_was_set_aside": outcome.buried}
    reasons = await buried(store.pool)
    assert any("is closed: it is not kept for longer" in reason for reason in reasons)
    letters = DeadLetters(store.pool)
    with pytest.raises(DeadLetterNotPosted, match="is closed"):
        await letters.post("2-0", "once more", "cli:me")
    for letter in await letters.page():
        await letters.drop(letter.event_id, "too late", "cli:me")
    await all_holds(store.pool)


async def test_a_closed_month_cannot_be_changed_by_hand(store: Store) -> None:
    await post_months(store, await funded_wallet(store), 2)
    await stop_after_closing(store.pool)
    moment = datetime.combine(month_back(1), datetime.min.time(), UTC)
    for statement in ("UPDATE ai_usage_logs SET cost = 0", "DELETE FROM ai_usage_logs"):
        with pytest.raises(asyncpg.CheckViolationError, match="is closed"):
            await store.pool.execute(f"{statement} WHERE created_at < $1", moment)


async def test_a_month_that_is_to_be_kept_after_all_is_opened_again(store: Store) -> None:
    wallet = await funded_wallet(store)
    await post_months(store, wallet, 2)
    await stop_after_closing(store.pool)
    await Retention(store.pool, 2).run()
    outcome = await store.post([entry_back(wallet, 2), entry_back(wallet, 9)])
    assert (outcome.posted, outcome.buried) == (2, 0)
    await all_holds(store.pool)


# Refunds


async def test_a_request_that_was_dropped_is_refunded_within_its_debit(store: Store) -> None:
    wallet = await funded_wallet(store)
    entries = await post_months(store, wallet, 2)
    old = next(entry for entry in entries if entry.entry.request_id < entry_back(wallet, 1).entry.request_id)
    await Retention(store.pool, 1).run()
    wallets, cost = Wallets(store, Unmirrored()), old.entry.cost_nanos
    await wallets.refund(wallet.user_id, cost - 1, "sorry", "cli:me", old.entry.request_id)
    with pytest.raises(RefundTooLarge):
        await wallets.refund(wallet.user_id, 2, "again", "cli:me", old.entry.request_id)
    await all_holds(store.pool)


# What keeps a month from being dropped


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE ai_usage_daily SET cost = cost + 1",
        "DELETE FROM ai_usage_daily",
        "UPDATE ai_usage_logs SET uncollected = cost",
        "DELETE FROM ai_usage_logs WHERE cost = 0.000001001",
        "DELETE FROM ai_transactions WHERE type = 'usage' AND amount = -0.000001001",
    ],
)
async def test_a_month_whose_books_do_not_hold_is_kept(store: Store, damage: str) -> None:
    await post_months(store, await funded_wallet(store), 2)
    async with store.pool.acquire() as connection, connection.transaction():
        await connection.execute("SET LOCAL session_replication_role = replica")
        await connection.execute(damage)
    kept = await requests_by_month(store.pool)
    with pytest.raises(RetentionError, match="the books of 1 wallets do not hold"):
        await Retention(store.pool, 1).run()
    assert await requests_by_month(store.pool) == kept


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE ai_usage_daily SET requests = requests + 1 WHERE day < $1",
        "DELETE FROM ai_usage_daily WHERE day < $1",
        "UPDATE farebox_retired_usage SET cost = cost + 1 WHERE month < $1",
        "UPDATE farebox_retired_usage SET requests = 0 WHERE month < $1",
        "DELETE FROM farebox_retired_usage WHERE month < $1",
    ],
)
async def test_the_audit_still_watches_what_is_left_of_a_dropped_month(store: Store, damage: str) -> None:
    wallet = await funded_wallet(store)
    await post_months(store, wallet, 2)
    await Retention(store.pool, 1).run()
    await store.pool.execute(damage, month_back(1))
    report = await audit(store.pool)
    assert "dropped_months_add_up" in report.broken
    assert {violation.wallet_id for violation in report.violations} == {wallet.wallet_id}


async def test_who_reads_for_long_keeps_it_from_being_dropped_and_posting_goes_on(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "LOCK_PAUSE_S", 0.01)
    monkeypatch.setattr(retention, "LOCK_ATTEMPTS", 3)
    wallet = await funded_wallet(store)
    await post_months(store, wallet, 2)
    async with store.pool.acquire() as reader, reader.transaction():
        await reader.execute("LOCK TABLE ai_usage_logs IN ACCESS SHARE MODE")  # as an audit does
        with pytest.raises(asyncpg.LockNotAvailableError):
            await Retention(store.pool, 1).run()
        assert (await store.post([settled(wallet, 5)])).posted == 1
        assert len(await requests_by_month(store.pool)) == 3
    assert len(await Retention(store.pool, 1).run()) == 1
    await all_holds(store.pool)


async def test_posting_goes_on_while_months_are_dropped(store: Store, tmp_path: Path) -> None:
    wallet = await funded_wallet(store)
    await post_months(store, wallet, 12, each=20)
    tasks = TaskSet()
    running = tasks.spawn(Retention(store.pool, 1, tmp_path).run(), name="retention")
    posted = 0
    while not running.done():
        posted += (await store.post([settled(wallet, 1), settled(wallet, 2)])).posted
    assert len(await running) == 11 and posted > 0
    (state,) = await store.wallet_states([wallet.wallet_id])
    assert state.balance_nanos == 10 * USD - posted // 2 * 3 - 13 * sum(range(1000, 1020))
    await all_holds(store.pool)


async def test_a_vacuum_of_the_month_is_waited_for_with_a_lock_that_is_in_nobodys_way(store: Store) -> None:
    wallet = await funded_wallet(store)
    await post_months(store, wallet, 2)
    month = f"ai_usage_logs_{month_back(2):%Y_%m}"
    tasks = TaskSet()

    async def wanted() -> set[str]:
        rows = await store.pool.fetch("SELECT mode FROM pg_locks WHERE NOT granted AND relation = $1::regclass", month)
        return {row["mode"] for row in rows}

    async def waits() -> bool:
        return bool(await wanted())

    async with store.pool.acquire() as vacuum:
        async with vacuum.transaction():
            await vacuum.execute(f"LOCK TABLE {month} IN SHARE UPDATE EXCLUSIVE MODE")
            running = tasks.spawn(Retention(store.pool, 1).run(), name="retention")
            await until(waits)
            assert (await store.post([settled(wallet, 5)])).posted == 1
            assert await wanted() <= {"ShareUpdateExclusiveLock"}
        assert len(await running) == 1


async def test_audits_hold_at_every_moment_while_months_are_dropped(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "LOCK_PAUSE_S", 0.001)
    await post_months(store, await funded_wallet(store), 12)
    tasks, audits = TaskSet(), 0
    running = tasks.spawn(Retention(store.pool, 1).run(), name="retention")
    while not running.done():
        report = await audit(store.pool)
        assert report.holds, report.violations
        audits += 1
    assert len(await running) == 11 and audits > 0


async def test_one_process_does_it_at_a_time(store: Store) -> None:
    await post_months(store, await funded_wallet(store), 2)
    first, there = Retention(store.pool, 1), await requests_by_month(store.pool)
    async with store.pool.acquire() as other:
        assert await other.fetchval(load_queries("ledger", "sql/retention.sql")["try_lock"])  # as a run begins
        with pytest.raises(RetentionBusy):
            await first.run()
    assert await requests_by_month(store.pool) == there
    assert len(await first.run()) == 1


# In the ledger process


async def test_the_job_drops_what_is_due_and_stops_when_told(store: Store, tmp_path: Path) -> None:
    await post_months(store, await funded_wallet(store), 3)
    stop = asyncio.Event()

    async def dropped() -> bool:
        return len(await requests_by_month(store.pool)) == 2

    async def stop_when_dropped() -> None:
        await until(dropped)
        stop.set()

    job = Retention(store.pool, 1, tmp_path).job()
    await asyncio.wait_for(asyncio.gather(job(stop), stop_when_dropped()), 60)


async def test_the_job_that_is_stopped_ends_in_the_middle_and_loses_nothing(store: Store, tmp_path: Path) -> None:
    await post_months(store, await funded_wallet(store), 3)
    stop, told = asyncio.Event(), list[str]()

    def stop_at(step: str) -> None:
        told.append(step)
        if step == "copying":
            stop.set()

    await asyncio.wait_for(Retention(store.pool, 1, tmp_path, stop_at).job()(stop), 30)
    assert told[-1] == "copying" and len(await requests_by_month(store.pool)) == 4
    assert files_in(tmp_path) == []
    assert len(await Retention(store.pool, 1, tmp_path).run()) == 2


async def test_a_round_that_fails_says_so_and_is_tried_again(store: Store, tmp_path: Path) -> None:
    await post_months(store, await funded_wallet(store), 2)
    assert await Retention(store.pool, 1, tmp_path / "nowhere").round() == retention.RETRY_S
    assert await Retention(store.pool, 1, tmp_path).round() is None
    assert len(files_in(tmp_path)) == 1
