"""What the figures about keys are measured with: good requests beside which others come, keys at the product's own
cost, and the CPU of bcrypt."""

import os
from dataclasses import replace

import psutil

from accounts.key_format import KeyFormat
from accounts.keys import Keys, NewKey
from benchmarks import stack
from benchmarks.stack import REQUESTS_PER_MINUTE, Contender, Farebox
from benchmarks.stage import Stage
from ledger.balances import StateMirror
from ledger.redis_store import RedisStore
from runtime.settings import KeyPolicy

# Good requests a second, a sixth of what a core manages, over connections that are never all busy.
RATE = 500
CONNECTIONS = 64


async def paced(stage: Stage, at: Contender) -> dict[str, float]:
    """Good requests of one key at a fixed rate."""
    asked = {"kind": "paced", "connections": CONNECTIONS, "rate": RATE, "seconds": stage.size.seconds}
    return await stage.load(replace(at, keys=at.keys[:1]), **asked)


async def new_keys(stage: Stage, running: Farebox, count: int) -> list[str]:
    """Never used, and hashed as dearly as the product does unless told otherwise."""
    office, on = running.office, stage.ground
    owner = await office.customer(stack.MONEY_NANOS, rpm=REQUESTS_PER_MINUTE, rpd=REQUESTS_PER_MINUTE)
    mirror = StateMirror(RedisStore(office.redis, office.shards), office.store, on.database)
    keys = Keys(office.pool, mirror, KeyFormat(), KeyPolicy.model_fields["bcrypt_cost"].default)
    asked = NewKey(owner.user_id, "new", REQUESTS_PER_MINUTE, REQUESTS_PER_MINUTE, None)
    return [(await keys.create(asked))[0] for _ in range(count)]


def bcrypt_cpu_s(at: Contender) -> float:
    """Of the threads that have stepped back behind the loop: those of bcrypt, and no others (proxy/keys/checks.py)."""
    assert at.pid is not None
    usual, threads = os.getpriority(os.PRIO_PROCESS, at.pid), psutil.Process(at.pid).threads()
    behind = [each for each in threads if os.getpriority(os.PRIO_PROCESS, each.id) > usual]
    return sum(each.user_time + each.system_time for each in behind)
