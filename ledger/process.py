"""The ledger process: writers, the mirror of balances, and the partitions of the usage log, until told to stop."""

import asyncio
from collections.abc import Mapping

import structlog
from redis.asyncio import Redis

from ledger.balances import StateMirror
from ledger.postgres import Store
from ledger.redis_store import RedisStore
from ledger.writer import LedgerWriter
from runtime.backoff import pause
from runtime.periodic import Job
from runtime.postgres import FAILED
from runtime.tasks import TaskSet

log = structlog.get_logger("farebox.ledger")

PARTITION_MONTHS_AHEAD = 3
PARTITION_INTERVAL_S = 24 * 3600.0
PARTITION_RETRY_S = 60.0
# Time to finish what is in hand: that takes a fraction of a second, so this is for a slow Postgres.
STOP_TIMEOUT_S = 20.0
_NO_JOBS: Mapping[str, Job] = {}


async def run_ledger(
    redis: Redis,
    store: Store,
    database_url: str,
    stop: asyncio.Event,
    *,
    shards: int = 1,
    consumer_name: str,
    jobs: Mapping[str, Job] = _NO_JOBS,
    stop_timeout_s: float = STOP_TIMEOUT_S,
) -> None:
    """Runs one writer per shard and what belongs to it; `jobs` run beside it.

    `consumer_name` must be this process's own among all that run; after a restart the same name continues where it
    was. If one of the parts fails in a way it does not expect, the others are stopped and its error is raised.
    """
    tasks = TaskSet()
    mirror = StateMirror(RedisStore(redis, shards), store, database_url)
    running: list[asyncio.Task[None]] = [
        tasks.spawn(LedgerWriter(redis, store, shard, consumer_name).run(stop), name=f"ledger-writer-{shard}")
        for shard in range(shards)
    ]
    running.append(tasks.spawn(mirror.run(stop), name="ledger-mirror"))
    running.append(tasks.spawn(keep_partitions(store, stop), name="ledger-partitions"))
    running += [tasks.spawn(_run(job, stop), name=name) for name, job in jobs.items()]
    log.info("ledger_running", consumer=consumer_name, count=shards)
    try:
        await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
    finally:
        stop.set()
        if cancelled := await tasks.drain(stop_timeout_s):
            log.warning("ledger_stopped_in_the_middle", count=cancelled)
    for task in running:
        if not task.cancelled():
            task.result()  # raises what it died of


async def _run(job: Job, stop: asyncio.Event) -> None:
    await job(stop)


async def keep_partitions(store: Store, stop: asyncio.Event) -> None:
    """Makes the coming months' partitions, every day. Rows of a month without one go to the default partition."""
    while not stop.is_set():
        wait_s = PARTITION_INTERVAL_S
        try:
            if made := await store.ensure_partitions(PARTITION_MONTHS_AHEAD):
                log.info("usage_partitions_made", count=made)
        except FAILED as error:
            log.warning("usage_partitions_failed", error=type(error).__name__)
            wait_s = PARTITION_RETRY_S
        await pause(stop, wait_s)
