"""The policies that a process knows: none is taken for granted, others are read when they are asked for."""

import asyncio
from typing import Any, cast
from uuid import UUID

import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from ledger.redis_schema import key_state_key
from metering.policies import KnownPolicies
from metering.policy import ANYTHING, NOTHING

KEY, WALLET = UUID(int=1), UUID(int=2)
POLICY = b'{"models":["a"]}'


class Hashes:
    """Redis' hashes of keys, read in one pipeline."""

    def __init__(self, **fields: bytes) -> None:
        self.fields: dict[str, dict[str, bytes]] = {key_state_key(0, KEY): fields}
        self.batches: list[int] = []
        self.is_away = False
        self._asked: list[list[bytes | None]] = []

    def pipeline(self, *, transaction: bool) -> "Hashes":
        self._asked = []
        return self

    def hmget(self, name: str, fields: list[str]) -> None:
        found = self.fields.get(name, {})
        self._asked.append([found.get(field) for field in fields])

    async def execute(self) -> list[Any]:
        if self.is_away:
            raise RedisConnectionError
        self.batches.append(len(self._asked))
        return self._asked


def over(hashes: Hashes) -> KnownPolicies:
    return KnownPolicies(cast(Redis, hashes))


async def test_a_key_that_nobody_asked_about_has_no_policy() -> None:
    known = over(Hashes()).of(KEY)
    assert (known.policy_id, known.policy) == ("", ANYTHING)


async def test_a_policy_is_known_once_it_was_read_and_forgotten_when_it_is_gone() -> None:
    hashes = Hashes(policy_id=b"abc", policy=POLICY)
    policies = over(hashes)
    await policies.learn(KEY, WALLET)
    assert policies.of(KEY).policy_id == "abc" and policies.of(KEY).policy.models == frozenset(("a",))
    assert policies.of(UUID(int=9)).policy_id == ""
    hashes.fields.clear()
    await policies.learn(KEY, WALLET)
    assert (policies.of(KEY).policy_id, policies.of(KEY).policy) == ("", ANYTHING)


@pytest.mark.parametrize("fields", [{"policy": b"nonsense"}, {}])
async def test_a_policy_that_cannot_be_read_lets_nothing_through(fields: dict[str, bytes]) -> None:
    policies = over(Hashes(policy_id=b"abc", **fields))
    await policies.learn(KEY, WALLET)
    assert policies.of(KEY).policy is NOTHING


async def test_many_at_once_are_read_together() -> None:
    hashes = Hashes(policy_id=b"abc", policy=POLICY)
    policies = over(hashes)
    await asyncio.gather(*(policies.learn(KEY, WALLET) for _ in range(100)))
    assert hashes.batches == [100]


async def test_what_is_known_is_bounded_by_its_size() -> None:
    hashes = Hashes()
    policies = over(hashes)
    keys = [UUID(int=n) for n in range(10)]
    long = b'{"models":["%b"]}' % (b"x" * (1 << 20))
    for key in keys:
        hashes.fields[key_state_key(0, key)] = {"policy_id": b"abc", "policy": long}
        await policies.learn(key, WALLET)
    assert 0 < sum(policies.of(key).policy_id == "abc" for key in keys) <= 8
    assert policies.of(keys[-1]).policy_id == "abc"


async def test_what_could_not_be_read_stays_as_it_was() -> None:
    hashes = Hashes(policy_id=b"abc", policy=POLICY)
    policies = over(hashes)
    await policies.learn(KEY, WALLET)
    hashes.is_away = True
    with pytest.raises(RedisConnectionError):
        await policies.learn(KEY, WALLET)
    assert policies.of(KEY).policy_id == "abc"
