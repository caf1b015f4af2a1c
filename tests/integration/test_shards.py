"""The number of shards: noted, held to, changed. On one server and on a cluster."""

from uuid import UUID

import pytest
from redis.asyncio import Redis
from redis.exceptions import RedisError

from ledger.redis_schema import LEDGER_GROUP, holds_key, shards_key, usage_stream, wallet_key
from ledger.shards import OtherShards, StillInUse, claim_shards, reshard
from runtime.redis_cluster import RedisCluster, primaries_of
from tests.support.valkey_cluster import TIMEOUT_S, ValkeyCluster

WALLET = UUID(int=5)


@pytest.fixture
def redis(either_redis: Redis) -> Redis:
    return either_redis


async def primaries(redis: Redis) -> list[Redis]:
    return await primaries_of(redis)


async def is_refused(redis: Redis, shards: int) -> bool:
    try:
        await claim_shards(redis, shards)
    except OtherShards as error:
        assert f"farebox reshard --to {shards}" in str(error)
        return True
    return False


async def test_the_first_number_is_noted_and_no_other_is_taken(redis: Redis) -> None:
    await claim_shards(redis, 5)
    await claim_shards(redis, 5)
    assert [await is_refused(redis, shards) for shards in (1, 3, 5, 6, 12)] == [True, True, False, True, True]
    assert [await redis.get(shards_key(shard)) for shard in (0, 4, 5)] == [b"5", b"5", None]


async def test_where_nothing_was_noted_before_there_was_one(redis: Redis) -> None:
    """By versions that had one only: their ledger has made the stream."""
    await redis.xgroup_create(usage_stream(0), LEDGER_GROUP, id="0", mkstream=True)
    assert await is_refused(redis, 5)
    await claim_shards(redis, 1)
    assert await redis.get(shards_key(0)) == b"1"


async def test_another_number_is_had_when_nothing_is_open_any_more(redis: Redis) -> None:
    await claim_shards(redis, 5)
    await redis.set("fb:identity:somebody", b"[]")
    for shard in range(5):
        await redis.hset(wallet_key(shard, WALLET), "balance", 1)
        await redis.xgroup_create(usage_stream(shard), LEDGER_GROUP, id="0", mkstream=True)
    assert await reshard(await primaries(redis), redis, 3) == 10
    assert [await is_refused(redis, shards) for shards in (3, 5)] == [False, True]
    assert await redis.get(shards_key(4)) is None
    assert not await redis.exists(wallet_key(2, WALLET))
    assert await redis.exists("fb:identity:somebody")


@pytest.mark.parametrize("shard", [0, 4])
@pytest.mark.parametrize("left", ["a hold", "an event"])
async def test_while_something_is_held_or_not_posted_it_stays(redis: Redis, shard: int, left: str) -> None:
    await claim_shards(redis, 5)
    await redis.hset(wallet_key(1, WALLET), "balance", 1)
    if left == "a hold":
        await redis.hset(holds_key(shard), b"0123456789abcdef", 5)
    else:
        await redis.xadd(usage_stream(shard), {"entry": "{}"})
    with pytest.raises(StillInUse, match=r"^1 "):
        await reshard(await primaries(redis), redis, 3)
    await claim_shards(redis, 5)
    assert await redis.exists(wallet_key(1, WALLET))


async def test_what_was_cut_short_is_repeated(redis: Redis) -> None:
    """Notes of two numbers let nobody start but who finishes it."""
    await claim_shards(redis, 5)
    await redis.set(shards_key(0), 3)
    assert await is_refused(redis, 3) and await is_refused(redis, 5)
    await reshard(await primaries(redis), redis, 3)
    await claim_shards(redis, 3)


async def test_a_node_that_is_away_keeps_nobody_from_starting_once_it_was_noted(cluster: ValkeyCluster) -> None:
    class Partly(RedisCluster):
        """One shard cannot be reached."""

        async def execute_command(self, *args: object, **options: object) -> object:
            if "{0}" in str(args[1]):
                raise RedisError("away")
            return await super().execute_command(*args, **options)

    whole = cluster.client()
    partly = Partly(cluster.nodes, whole._connect, TIMEOUT_S)
    with pytest.raises(RedisError, match="away"):
        await claim_shards(partly, 5)
    assert await whole.get(shards_key(1)) is None
    await claim_shards(whole, 5)
    await claim_shards(partly, 5)
    with pytest.raises(OtherShards):
        await claim_shards(partly, 7)
    await partly.aclose()
    await whole.aclose()
