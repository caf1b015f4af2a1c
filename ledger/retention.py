"""Retention: what the usage log keeps for longer than it was asked to is archived, if wanted, and dropped by months.

A month goes step by step, and each step is committed before the next: closed (nothing in it changes any more), summed
up by wallet, held against daily sums and debits, archived and read back, dropped. Killed between any two, the next run
goes on; until the last one every request is still there. What does not add up, and what cannot be archived, is not
dropped. Wallets, their lines and the daily sums stay: `farebox audit` goes by the sums of what was dropped.

One process does it at a time. No lock that posting waits behind is waited for longer than a quarter of a second (the
functions of migration 0017 say so): it is tried again a little later.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import asyncpg
import structlog

from ledger.archive import Archive, Sink, is_there, write_archive
from ledger.errors import LedgerError
from runtime.periodic import Job, every
from runtime.postgres import FAILED, Connection, Pool
from runtime.sql import load_queries

log = structlog.get_logger("farebox.retention")

INTERVAL_S = 3600.0
# After a failure, which costs a read of the month where it was found late.
RETRY_S = 600.0
# A month of a hundred million requests a year is read in a minute or two.
QUERY_TIMEOUT_S = 4 * 3600.0
# Who reads the log for long (an audit, an export) keeps a month from being dropped: for a minute it is tried again.
LOCK_ATTEMPTS = 20
LOCK_PAUSE_S = 3.0
# An attempt waits for up to three vacuums, three seconds each, and then works for a moment.
ATTEMPT_TIMEOUT_S = 30.0
_QUERIES = load_queries("ledger", "sql/retention.sql")
_MAY_FAIL: tuple[type[BaseException], ...] = (LedgerError, *FAILED)


class RetentionError(LedgerError):
    """A month cannot be dropped."""


class RetentionBusy(RetentionError):
    """Another process is at it."""


class Stopped(Exception):
    """The process is to end; what is done so far stays done."""


@dataclass(frozen=True, slots=True)
class Month:
    """A month that is due, by its first day (UTC), with about how many requests are in it; None: not known."""

    month: date
    about: int | None


@dataclass(frozen=True, slots=True)
class Retired:
    """A month that was dropped: how many requests it had, and the file they are in."""

    month: date
    requests: int
    archive: Archive | None


# Told of each step when it is done, and again and again while one takes long; what it raises ends the run.
OnStep = Callable[[str], None]


# Told of each month when it is dropped.
OnRetired = Callable[[Retired], None]


def no_step(_: str) -> None:
    """Nobody watches."""


def _unwatched(_: Retired) -> None:
    """Nobody wants to know before the end."""


def _to_log(done: Retired) -> None:
    name, size_bytes = (done.archive.name, done.archive.size_bytes) if done.archive else (None, None)
    log.info("usage_month_dropped", month=f"{done.month:%Y-%m}", count=done.requests, path=name, size_bytes=size_bytes)


class Retention:
    """`months` are kept beside the running one; None: all. Methods raise runtime.postgres.UNAVAILABLE."""

    def __init__(
        self, pool: Pool, months: int | None, archive_dir: Path | None = None, on_step: OnStep = no_step
    ) -> None:
        self._pool = pool
        self._months = months
        self._archive_dir = archive_dir
        self._on_step = on_step

    def job(self) -> Job:
        """Runs now and every hour; ends within a moment of being told to stop."""

        async def run(stop: asyncio.Event) -> None:
            def watch(step: str) -> None:
                self._on_step(step)
                if stop.is_set():
                    raise Stopped

            watched = Retention(self._pool, self._months, self._archive_dir, watch)
            await every(INTERVAL_S, watched.round, name="retention", failures=FAILED)(stop)

        return run

    async def round(self) -> float | None:
        """A run that tells the log how it went; how long to wait before the next, None: as always."""
        try:
            await self.run(_to_log)
        except (RetentionBusy, Stopped):
            return None
        except _MAY_FAIL as error:
            reason = str(error) if isinstance(error, LedgerError) else None
            log.error("retention_failed", error=type(error).__name__, reason=reason)
            return RETRY_S
        return None

    async def due(self) -> list[Month]:
        """What a run would drop, the oldest first. Changes nothing."""
        async with self._pool.acquire() as connection:
            kept_from = await connection.fetchval(_QUERIES["kept_from"], self._months)
            return [Month(*row) for row in await connection.fetch(_QUERIES["due_months"], kept_from)]

    async def run(self, on_retired: OnRetired = _unwatched) -> list[Retired]:
        """Drops what is due. Raises RetentionBusy, RetentionError, ArchiveError, LockNotAvailableError."""
        retired = []
        async with self._pool.acquire() as connection:  # which gives the lock back with the connection
            if not await connection.fetchval(_QUERIES["try_lock"]):
                raise RetentionBusy("another process is at it")
            kept_from = await connection.fetchval(_QUERIES["kept_from"], self._months)
            await self._briefly(connection, "reopen", kept_from)
            while due := await connection.fetch(_QUERIES["due_months"], kept_from):
                if (done := await self._retire(connection, due[0]["month"])) is not None:
                    retired.append(done)
                    on_retired(done)
        return retired

    async def _retire(self, connection: Connection, month: date) -> Retired | None:
        """None: an older month came to light, which goes first."""
        known = await connection.fetchrow(_QUERIES["state"], month)
        if known is None and not await self._briefly(connection, "close", month):
            return None
        self._on_step("closed")
        requests = known["requests"] if known is not None else None
        if requests is None:
            requests = await connection.fetchval(_QUERIES["sum_up"], month, timeout=QUERY_TIMEOUT_S)
        self._on_step("summed up")
        await _must_add_up(connection, month)
        archive = await self._archived(connection, month, requests, _archive(known))
        self._on_step("archived")
        await self._briefly(connection, "drop", month)
        self._on_step("dropped")
        return Retired(month, requests, archive)

    async def _archived(
        self, connection: Connection, month: date, requests: int, known: Archive | None
    ) -> Archive | None:
        """The file that the month is in; one that was written before and is still there will do."""
        if self._archive_dir is None or (known is not None and await is_there(self._archive_dir, known)):
            return known
        table = await connection.fetchval(_QUERIES["partition_name"], month)

        async def copy(sink: Sink) -> None:
            copied = await self._copy(connection, table, sink)
            if copied != requests:
                raise RetentionError(f"{table}: {copied} rows were copied of {requests}")

        archive = await write_archive(self._archive_dir, table, copy)
        self._on_step("written")
        await connection.execute(_QUERIES["note_archive"], month, archive.name, archive.sha256, archive.size_bytes)
        return archive

    async def _copy(self, connection: Connection, table: str, sink: Sink) -> int:
        """How many rows were copied."""

        async def watched(piece: bytes) -> None:
            self._on_step("copying")
            await sink(piece)

        async with connection.transaction(isolation="repeatable_read", readonly=True):
            await connection.execute(_QUERIES["as_it_lies"])
            status: str = await connection.copy_from_table(
                table, output=watched, format="csv", header=True, timeout=QUERY_TIMEOUT_S
            )
        return int(status.removeprefix("COPY "))

    async def _briefly(self, connection: Connection, query: str, argument: Any) -> Any:
        """Runs what gives up when a lock is not free soon, until it is. Raises asyncpg.LockNotAvailableError."""
        for _ in range(LOCK_ATTEMPTS - 1):
            try:
                return await connection.fetchval(_QUERIES[query], argument, timeout=ATTEMPT_TIMEOUT_S)
            except asyncpg.LockNotAvailableError:
                self._on_step("waiting")
                await asyncio.sleep(LOCK_PAUSE_S)
        return await connection.fetchval(_QUERIES[query], argument, timeout=ATTEMPT_TIMEOUT_S)


def _archive(known: Any) -> Archive | None:
    if known is None or known["archive"] is None:
        return None
    return Archive(known["archive"], known["archive_sha256"], known["archive_bytes"])


async def _must_add_up(connection: Connection, month: date) -> None:
    """A month with a mistake in it is evidence: it is kept until somebody has looked."""
    after = date(month.year + month.month // 12, month.month % 12 + 1, 1)
    wrong = await connection.fetchval(_QUERIES["wallets_that_do_not_add_up"], month, after, timeout=QUERY_TIMEOUT_S)
    if wrong:
        since = f"farebox audit --since {month:%Y-%m-%d} --until {after:%Y-%m-%d}"
        raise RetentionError(f"{month:%Y-%m}: the books of {wrong} wallets do not hold, so it is kept: see {since}")
