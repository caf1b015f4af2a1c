"""What the figures about keys are measured with: their load, keys at the product's own cost, and the CPU of bcrypt."""

import asyncio
import json
from asyncio.subprocess import PIPE
from pathlib import Path
from typing import Any

import psutil

from accounts.key_format import KeyFormat
from accounts.keys import Keys, NewKey
from benchmarks import stack
from benchmarks.affinity import Cores, pinned
from benchmarks.stack import REQUESTS_PER_MINUTE, Contender, Farebox
from benchmarks.stage import Stage
from ledger.balances import StateMirror
from ledger.redis_store import RedisStore
from runtime.settings import KeyPolicy

# Requests a second beside which others are held: a sixth of what a core manages.
RATE = 500
CONNECTIONS = 64


async def key_load(cores: Cores, url: str, key: str, **asked: Any) -> dict[str, float]:
    """A load of benchmarks/key_load.py, and what it told."""
    argv = stack.python("benchmarks.key_load", url, key, json.dumps(asked))
    with pinned(cores):
        process = await asyncio.create_subprocess_exec(*argv, stdout=PIPE)
    said, _ = await process.communicate()
    if process.returncode:
        raise RuntimeError("the load generator failed; what it said is above")
    found: dict[str, float] = json.loads(said)
    return found


async def paced(stage: Stage, at: Contender) -> dict[str, float]:
    """Good requests of one key at a fixed rate."""
    size, key = stage.size, at.keys[0]
    asked = {"kind": "paced", "connections": CONNECTIONS, "rate": RATE, "seconds": size.seconds}
    return await key_load(stage.where.load, at.url, key, **asked)


async def new_keys(stage: Stage, running: Farebox, count: int) -> list[str]:
    """Never used, and hashed as dearly as the product does unless told otherwise."""
    office, on = running.office, stage.ground
    owner = await office.customer(stack.MONEY_NANOS, rpm=REQUESTS_PER_MINUTE, rpd=REQUESTS_PER_MINUTE)
    mirror = StateMirror(RedisStore(office.redis, office.shards), office.store, on.database)
    keys = Keys(office.pool, mirror, KeyFormat(), KeyPolicy.model_fields["bcrypt_cost"].default)
    asked = NewKey(owner.user_id, "new", REQUESTS_PER_MINUTE, REQUESTS_PER_MINUTE, None)
    return [(await keys.create(asked))[0] for _ in range(count)]


def bcrypt_cpu_s(at: Contender) -> float:
    """Of the threads that have stepped back behind the loop: those of bcrypt, and no others (proxy/key_checks.py)."""
    assert at.pid is not None
    niceness = psutil.Process(at.pid).nice()
    return sum(_cpu_ticks(stat) for stat in _threads(at.pid) if _niceness(stat) > niceness) / _TICKS_PER_S


_TICKS_PER_S = 100


def _threads(pid: int) -> list[list[str]]:
    """proc(5), the fields of `stat` after the name in brackets: the state is the third."""
    folders = Path(f"/proc/{pid}/task").iterdir()
    return [(folder / "stat").read_text().rpartition(") ")[2].split() for folder in folders]


def _cpu_ticks(stat: list[str]) -> int:
    return int(stat[14 - 3]) + int(stat[15 - 3])


def _niceness(stat: list[str]) -> int:
    return int(stat[19 - 3])
