"""Drops what is due in a process of its own and kills that process, without warning, at one step.

python -m tests.support.killed_retention DATABASE_URL FOLDER STEP
"""

import asyncio
import os
import signal
import sys
from pathlib import Path

from ledger.retention import Retention
from runtime.postgres import create_pool

MONTHS = 1


async def main(database_url: str, folder: Path, fatal_step: str) -> None:
    def die_at(step: str) -> None:
        if step == fatal_step:
            os.kill(os.getpid(), signal.SIGKILL)

    pool = await create_pool(database_url)
    await Retention(pool, MONTHS, folder, die_at).run()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2]), sys.argv[3]))
