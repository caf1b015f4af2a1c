"""Waiting until what had begun is in Postgres."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from ledger.posted import Unposted, wait_posted
from ledger.redis_schema import holds_key, usage_stream
from runtime.ids import new_request_id

NOW_MS = 1_790_000_000_000


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    redis = Redis.from_url(redis_url)
    yield redis
    await redis.aclose()


async def hold(redis: Redis, begun_ms: int, shard: int = 0) -> bytes:
    field = new_request_id(begun_ms).bytes
    await redis.hset(holds_key(shard), field, "100 1 x y z")
    return field


async def test_nothing_to_wait_for(redis: Redis) -> None:
    assert (await wait_posted(redis, NOW_MS, 0)).is_nothing
    await hold(redis, NOW_MS + 1)  # began later
    assert (await wait_posted(redis, NOW_MS, 0)).is_nothing


async def test_what_still_runs_and_what_waits_are_told(redis: Redis) -> None:
    await hold(redis, NOW_MS)
    await hold(redis, NOW_MS - 9, shard=1)
    await redis.xadd(usage_stream(1), {"entry": "x"})
    assert await wait_posted(redis, NOW_MS, 0, shards=2) == Unposted(running=2, events=1)
    assert await wait_posted(redis, NOW_MS, 0) == Unposted(running=1, events=0)


async def test_it_waits_for_the_end_then_for_its_event_and_not_for_later_ones(redis: Redis) -> None:
    field = await hold(redis, NOW_MS)
    seen: list[Unposted] = []
    heard = asyncio.Event()

    def on_wait(missing: Unposted) -> None:
        seen.append(missing)
        heard.set()

    async def told(wanted: Unposted) -> None:
        async with asyncio.timeout(60):
            while not seen or seen[-1] != wanted:
                heard.clear()
                await heard.wait()

    waiting = asyncio.get_running_loop().create_task(wait_posted(redis, NOW_MS, 60, on_wait=on_wait))
    await told(Unposted(running=1))
    # settled: the hold goes and the event comes in one step
    async with redis.pipeline(transaction=True) as pipeline:
        pipeline.hdel(holds_key(0), field)
        pipeline.xadd(usage_stream(0), {"entry": "x"})
        _, event_id = await pipeline.execute()
    await told(Unposted(events=1))
    # one of a request that began later may wait on; this one is posted
    await redis.xadd(usage_stream(0), {"entry": "y"})
    await redis.xdel(usage_stream(0), event_id)
    assert await asyncio.wait_for(waiting, 60) == Unposted()
