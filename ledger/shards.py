"""How many shards wallets are spread over is noted in Redis: a process that counted otherwise would look for what is
held and not posted yet where it is not.

Each shard has a note of its own, so that a node of a cluster that is away keeps no process from starting.
"""

import asyncio
from collections.abc import Callable, Sequence

from redis.asyncio import Redis

from ledger.errors import LedgerError
from ledger.redis_schema import shards_key, usage_stream

# Before there were several, nothing was noted.
_UNNOTED = 1
_SCAN_COUNT = 1000
_PATTERN = "fb:{*}:*"


class OtherShards(Exception):
    """Redis holds the state of another number of shards."""

    def __init__(self, noted: int, wanted: int) -> None:
        super().__init__(
            f"{wanted} are configured, but Redis has what is held and not posted yet in {noted}. To change it: "
            "stop all proxies, wait until the ledger has posted everything, stop it, "
            f"run `farebox reshard --to {wanted}`, start again"
        )


class StillInUse(LedgerError):
    """The number of shards cannot be changed now: what is still there."""


async def claim_shards(redis: Redis, shards: int) -> None:
    """Notes the number where there is none. Raises OtherShards, and RedisError where that cannot be told."""
    answers = await asyncio.gather(*(_noted(redis, shard) for shard in range(shards)), return_exceptions=True)
    away = [answer for answer in answers if isinstance(answer, BaseException)]
    noted = {answer for answer in answers if isinstance(answer, int)}
    for number in noted - {shards}:
        raise OtherShards(number, shards)
    if not noted and away:
        raise away[0]
    # The first shard's note decides between two that start at once, so it is made first.
    for shard, answer in enumerate(answers):
        if isinstance(answer, BaseException) or await redis.set(shards_key(shard), shards, nx=True):
            continue
        found = await _noted(redis, shard)
        if found is not None and found != shards:
            raise OtherShards(found, shards)


async def _noted(redis: Redis, shard: int) -> int | None:
    number = await redis.get(shards_key(shard))
    if number is None and shard == 0 and await redis.exists(usage_stream(0)):
        return _UNNOTED
    return None if number is None else int(number)


async def reshard(primaries: Sequence[Redis], redis: Redis, shards: int) -> int:
    """Forgets the cached state of all shards and notes the new number; returns how many keys were forgotten.

    What is forgotten is loaded again on demand. `primaries` are clients of each node that has some of it. Nothing may
    run meanwhile. Raises StillInUse, having changed nothing, and RedisError, after which it may be repeated.
    """
    for node in primaries:
        await _must_be_over(node)
    forgotten = sum([await _forget(node, _is_state) for node in primaries])
    for node in primaries:  # the notes last: without them, any number could start
        await _forget(node, _is_note)
    await claim_shards(redis, shards)
    return forgotten


async def _must_be_over(node: Redis) -> None:
    async for name in node.scan_iter(_PATTERN, count=_SCAN_COUNT):
        if name.endswith(b":holds") and (count := await node.hlen(name)):
            raise StillInUse(f"{count} requests are open or not settled: the proxies must be stopped, and drained")
        if name.endswith(b":usage") and (count := await node.xlen(name)):
            raise StillInUse(f"{count} settled requests are not posted: the ledger must run until there are none")


def _is_note(name: bytes) -> bool:
    return name.endswith(b":shards")


def _is_state(name: bytes) -> bool:
    """The mark of ledger/lives.py stays: nothing is lost here."""
    return not name.endswith((b":shards", b":life"))


async def _forget(node: Redis, is_meant: Callable[[bytes], bool]) -> int:
    forgotten = 0
    names = [name async for name in node.scan_iter(_PATTERN, count=_SCAN_COUNT) if is_meant(name)]
    for start in range(0, len(names), _SCAN_COUNT):
        pipeline = node.pipeline(transaction=False)
        for name in names[start : start + _SCAN_COUNT]:
            pipeline.unlink(name)
        forgotten += sum(await pipeline.execute())
    return forgotten
