"""Runs the real writer in a process of its own and kills that process, without warning, at one step.

python -m tests.support.killed_writer DATABASE_URL REDIS_URL STEP
"""

import asyncio
import os
import signal
import sys

from redis.asyncio import Redis

from ledger.postgres import Store
from ledger.writer import LedgerWriter
from runtime.postgres import create_pool

CONSUMER = "the-one-that-dies"


async def main(database_url: str, redis_url: str, fatal_step: str) -> None:
    def die_at(step: str) -> None:
        if step == fatal_step:
            os.kill(os.getpid(), signal.SIGKILL)

    pool = await create_pool(database_url)
    redis = Redis.from_url(redis_url)
    await LedgerWriter(redis, Store(pool), 0, CONSUMER, die_at).run(asyncio.Event())


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
