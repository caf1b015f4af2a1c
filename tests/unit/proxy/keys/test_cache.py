"""Who a verified key belongs to, in Redis: asked together, and a node that is away costs no more than it must."""

import asyncio
from typing import Any, cast
from uuid import UUID

import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisGone

from proxy.keys.cache import Identity, KeyCache

WHO = Identity(UUID(int=1), UUID(int=2), UUID(int=3))


class FakeRedis:
    """Keeps; names in `away` are on a node that does not answer."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}
        self.calls: list[list[str]] = []
        self.away: set[str] = set()
        self.ttls: dict[str, int] = {}
        self.refuses_expire = False

    async def set(self, name: str, value: bytes, *, ex: int) -> None:
        if name in self.away:
            raise RedisGone
        self.kept[name], self.ttls[name] = value, ex

    async def mget(self, names: Any) -> list[bytes | None]:
        self.calls.append(list(names))
        if self.away & set(self.calls[-1]):
            raise RedisGone
        return [self.kept.get(name) for name in self.calls[-1]]

    def pipeline(self, transaction: bool) -> "FakePipeline":
        assert not transaction
        return FakePipeline(self)


class FakePipeline:
    def __init__(self, redis: FakeRedis) -> None:
        self._redis = redis
        self._names: list[str] = []
        self._ttl_s = 0

    def getex(self, name: str, ex: int) -> None:
        self._names.append(name)
        self._ttl_s = ex

    def expire(self, name: str, ttl_s: int) -> None:
        self._redis.ttls[name] = ttl_s

    async def execute(self, raise_on_error: bool) -> list[object]:
        assert not raise_on_error
        if not self._names:
            if self._redis.refuses_expire:
                raise RedisGone
            return []
        self._redis.ttls |= {name: self._ttl_s for name in self._names if name in self._redis.kept}
        self._redis.calls.append(self._names)
        away = self._redis.away
        return [RedisGone() if name in away else self._redis.kept.get(name) for name in self._names]


@pytest.mark.parametrize("is_needed", [True, False])
async def test_what_is_asked_at_once_is_one_call(is_needed: bool) -> None:
    redis = FakeRedis()
    cache = KeyCache(cast(Redis, redis), is_needed=is_needed)
    await cache.keep("b", WHO)
    found = await asyncio.gather(*(cache.find(name) for name in "abc"))
    assert found == [None, WHO, None]
    assert redis.calls == [[f"fb:identity:{name}" for name in "abc"]]


async def test_a_cache_that_is_needed_and_away_is_an_error() -> None:
    redis = FakeRedis()
    redis.away = {"fb:identity:a"}
    cache = KeyCache(cast(Redis, redis))
    with pytest.raises(RedisGone):
        await cache.find("a")
    with pytest.raises(RedisGone):
        await cache.keep("a", WHO)


async def test_of_a_cluster_a_node_that_is_away_hides_its_own_names_only() -> None:
    redis = FakeRedis()
    cache = KeyCache(cast(Redis, redis), is_needed=False)
    await cache.keep("b", WHO)
    redis.away = {"fb:identity:a"}
    await cache.keep("a", WHO)
    found = await asyncio.gather(cache.find("a"), cache.find("b"))
    assert list(found) == [None, WHO]


@pytest.mark.parametrize("is_needed", [True, False])
async def test_what_is_looked_up_is_kept_on_and_what_is_not_there_is_not_made(is_needed: bool) -> None:
    redis = FakeRedis()
    cache = KeyCache(cast(Redis, redis), is_needed=is_needed)
    await cache.keep("a", WHO)
    an_hour_s, redis.ttls["fb:identity:a"] = redis.ttls["fb:identity:a"], 1
    assert [await cache.find(name) for name in "ab"] == [WHO, None]
    assert redis.ttls == {"fb:identity:a": an_hour_s}
    assert an_hour_s == 3_600


async def test_whose_key_it_is_is_known_though_it_could_not_be_kept_on() -> None:
    redis = FakeRedis()
    cache = KeyCache(cast(Redis, redis))
    await cache.keep("a", WHO)
    redis.refuses_expire = True
    assert await cache.find("a") == WHO
