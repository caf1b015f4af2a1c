"""Settles in a process of its own while Redis is away, and kills that process as soon as all is said to be safe.

python -m tests.support.killed_settler SPOOL_FOLDER RECORDS_FILE: one settlement a line, its record in hex.
"""

import asyncio
import os
import signal
import sys
from pathlib import Path

from metering.settlements import Settlement
from metering.settling import Settler
from proxy import redis_client
from runtime.breaker import Breaker
from runtime.spool import Spool

# Nobody listens there.
AWAY = "redis://127.0.0.1:1/0"


async def main(folder: str, records: list[str]) -> None:
    spool = await Spool.open(Path(folder), max_bytes=1 << 24)
    settler = Settler(redis_client.connect(AWAY, 1.0), breakers=[Breaker(5, 1_000)], spool=spool)
    settler.start()
    settlements = map(Settlement.from_record, map(bytes.fromhex, records))
    assert set(await asyncio.gather(*map(settler.settle, settlements))) == {None}
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2]).read_text().split()))
