"""A shard of Redis that was emptied is noticed, once, and the audit says so until somebody accepts it."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis
from structlog.testing import capture_logs

from ledger.audit import audit
from ledger.lives import accept_losses, life_of
from ledger.postgres import Store
from ledger.redis_schema import life_key
from ledger.writer import LedgerWriter
from runtime.postgres import create_pool
from runtime.tasks import TaskSet
from tests.support.ledger import until

RULE = "redis_was_not_emptied"


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[Store]:
    pool = await create_pool(database_url)
    yield Store(pool)
    await pool.close()


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    client = Redis.from_url(redis_url)
    yield client
    await client.aclose()


async def test_all_who_ask_at_once_see_the_same_mark(redis: Redis) -> None:
    marks = await asyncio.gather(*(life_of(redis, shard) for shard in (0, 1) for _ in range(8)))
    assert len(set(marks[:8])) == len(set(marks[8:])) == 1 and marks[0] != marks[8]
    assert await life_of(redis, 0) == marks[0]


async def test_a_second_mark_is_a_loss_until_it_is_accepted(store: Store, redis: Redis) -> None:
    first = await life_of(redis, 0)
    assert not await store.note_life(0, first) and not await store.note_life(0, first)
    assert not await store.note_life(1, await life_of(redis, 1))
    assert (await audit(store.pool)).holds
    await redis.delete(life_key(0))
    second = await life_of(redis, 0)
    assert await store.note_life(0, second) and not await store.note_life(0, second)
    (violation,) = (await audit(store.pool)).violations
    assert violation.rule == RULE and violation.detail.startswith("shard 0 was found empty")
    async with store.pool.acquire() as connection:
        assert await accept_losses(connection) == 1
        assert await accept_losses(connection) == 0
    assert (await audit(store.pool)).holds


async def test_a_writer_whose_redis_is_emptied_says_so(store: Store, redis: Redis) -> None:
    stop, tasks = asyncio.Event(), TaskSet()
    running = tasks.spawn(LedgerWriter(redis, store, 0, "writer").run(stop), name="writer")

    async def was_noted(times: int) -> bool:
        return int(await store.pool.fetchval("SELECT count(*) FROM farebox_redis_lives")) == times

    await until(lambda: was_noted(1))
    with capture_logs() as lines:
        await redis.flushall()
        await until(lambda: was_noted(2))
    stop.set()
    await running
    assert [line["log_level"] for line in lines if line["event"] == "redis_was_emptied"] == ["error"]
    assert (await audit(store.pool)).broken == {RULE: 1}
