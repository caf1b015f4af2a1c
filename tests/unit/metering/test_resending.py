"""What was settled lately is sent again when its server is another run, and only then."""

import asyncio
from typing import cast

import pytest
from redis.asyncio import Redis

from metering import resending
from metering.resending import REMEMBER_MS, Resender
from metering.settlements import Settlement
from runtime.tasks import TaskSet
from tests.support.played_redis import PlayedRedis, numbered
from tests.support.waiting import until


class Rig:
    def __init__(self, shards: int = 1) -> None:
        self.redis = PlayedRedis(shards)
        self.now_ms = 0
        self.again: list[tuple[int, list[Settlement]]] = []
        self.resender = Resender(cast(Redis, self.redis), shards, self.deliver, lambda: self.now_ms)

    async def deliver(self, shard: int, batch: list[Settlement]) -> None:
        self.again.append((shard, batch))
        self.resender.settled(shard, batch)

    def settle(self, *numbers: int, shard: int = 0) -> None:
        self.resender.settled(shard, [numbered(n) for n in numbers])


@pytest.fixture
async def rig() -> Rig:
    rig = Rig()
    await rig.resender.look()
    return rig


async def test_while_it_is_the_same_run_nothing_is_sent_again(rig: Rig) -> None:
    rig.settle(1)
    await rig.resender.look()
    assert rig.again == []


async def test_another_run_is_sent_what_the_last_one_acknowledged_once(rig: Rig) -> None:
    rig.settle(1, 2)
    rig.redis.come_back(as_another=True)
    await rig.resender.look()
    await rig.resender.look()
    assert rig.again == [(0, [numbered(1), numbered(2)])]


async def test_what_was_sent_again_can_be_lost_again(rig: Rig) -> None:
    rig.settle(1)
    for _ in range(3):
        rig.redis.come_back(as_another=True)
        await rig.resender.look()
    assert rig.again == [(0, [numbered(1)])] * 3


async def test_an_outage_however_long_does_not_age_what_is_remembered(rig: Rig) -> None:
    rig.settle(1)
    rig.redis.go_away()
    for _ in range(5):
        rig.now_ms += 10 * REMEMBER_MS
        await rig.resender.look()
    rig.redis.come_back(as_another=True)
    await rig.resender.look()
    assert rig.again == [(0, [numbered(1)])]


async def test_what_its_run_has_outlived_is_forgotten(rig: Rig) -> None:
    rig.settle(1)
    rig.now_ms = REMEMBER_MS
    rig.settle(2)
    rig.now_ms += 1
    await rig.resender.look()
    rig.redis.come_back(as_another=True)
    await rig.resender.look()
    assert rig.again == [(0, [numbered(2)])]


async def test_who_never_knew_the_run_sends_again() -> None:
    """It cannot tell whether the server that acknowledged is the one that answers."""
    rig = Rig()
    rig.settle(1)
    await rig.resender.look()
    assert rig.again == [(0, [numbered(1)])]


async def test_many_are_sent_again_in_batches(rig: Rig) -> None:
    rig.settle(*range(300))
    rig.redis.come_back(as_another=True)
    await rig.resender.look()
    assert [len(batch) for _, batch in rig.again] == [128, 128, 44]


async def test_each_shard_has_its_own_server() -> None:
    rig = Rig(2)
    await rig.resender.look()
    rig.settle(1, shard=0)
    rig.settle(2, shard=1)
    rig.redis.come_back(as_another=True)
    rig.redis.away = {0}
    await rig.resender.look()
    assert rig.again == [(1, [numbered(2)])]
    rig.redis.come_back()
    await rig.resender.look()
    assert rig.again[1:] == [(0, [numbered(1)])]


async def test_it_looks_while_something_is_remembered_and_at_once_after_a_failure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rig, tasks = Rig(), TaskSet()
    tasks.spawn(rig.resender.run(), name="test")
    await until(lambda: rig.redis.looks == 1)
    rig.resender.suspect()
    for _ in range(5):
        await asyncio.sleep(0)
    assert rig.redis.looks == 1, "there is nothing to lose"
    rig.settle(1)
    await until(lambda: rig.redis.looks == 2)
    monkeypatch.setattr(resending, "_LOOK_INTERVAL_S", 0.001)
    rig.resender.suspect()
    await until(lambda: rig.redis.looks > 4)
    await tasks.cancel()
