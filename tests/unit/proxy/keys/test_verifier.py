"""Who presents a key: what is asked of whom, how often, and what happens when nobody answers.

Hashes are bcrypt's own, at its lowest cost; `Bcrypt` counts them, and can be made to wait.
"""

import asyncio
import gc
import threading
from collections.abc import AsyncIterator, Iterable, Sequence
from functools import partial
from typing import cast
from uuid import UUID

import asyncpg
import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisGone
from redis.exceptions import TimeoutError as RedisSlow

from accounts.key_format import KeyFormat, cache_id, hash_key, lookup_prefix, matches_hash
from ledger.postgres import KeyRow
from proxy.failures import Failure
from proxy.keys import checks
from proxy.keys.guesses import Guesses
from proxy.keys.verifier import Identity, KeyVerifier
from tests.support.asking import begin
from tests.support.waiting import until

LOWEST_COST = 4
PEPPER = b"pepper" * 8
FORMAT = KeyFormat()
# What the product allows to wait for bcrypt, of one prefix and in all.
PER_PREFIX, IN_ALL = 2, 128


def key(number: int, prefix: str = "AAAAAAA") -> str:
    """A key with these characters after `pp_live-`."""
    return f"pp_live-{prefix}{number:025d}"


def row(presented: str, number: int = 1) -> KeyRow:
    key_hash = hash_key(presented, LOWEST_COST)
    return KeyRow(UUID(int=number), UUID(int=100), UUID(int=200), lookup_prefix(presented), key_hash)


RIGHT = key(1)
ROW = row(RIGHT)
WHO = Identity(ROW.key_id, ROW.user_id, ROW.wallet_id)


class FakeRedis:
    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}
        self.ttls: dict[str, int] = {}
        self.calls = 0
        self.error: Exception | None = None

    async def mget(self, names: Iterable[str]) -> list[bytes | None]:
        self.calls += 1
        if self.error is not None:
            raise self.error
        return [self.kept.get(name) for name in names]

    def pipeline(self, transaction: bool) -> "FakePipeline":
        assert not transaction
        return FakePipeline(self)

    async def set(self, name: str, value: bytes, *, ex: int) -> None:
        self.calls += 1
        if self.error is not None:
            raise self.error
        self.kept[name] = value
        self.ttls[name] = ex


class FakePipeline:
    """Each command is answered, or fails, by itself."""

    def __init__(self, redis: FakeRedis) -> None:
        self._redis = redis
        self._names: list[str] = []

    def getex(self, name: str, ex: int) -> None:
        self._names.append(name)

    def expire(self, name: str, ttl_s: int) -> None:
        self._redis.ttls[name] = ttl_s

    async def execute(self, raise_on_error: bool) -> list[object]:
        assert not raise_on_error
        self._redis.calls += 1
        return [self._redis.error or self._redis.kept.get(name) for name in self._names]


class FakeStore:
    def __init__(self, *rows: KeyRow) -> None:
        self.rows = list(rows)
        self.queries: list[list[str]] = []
        self.error: Exception | None = None
        self.gate = asyncio.Event()
        self.gate.set()

    async def keys_by_prefix(self, prefixes: Sequence[str]) -> Sequence[KeyRow]:
        self.queries.append(list(prefixes))
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        return [row for row in self.rows if row.key_prefix in prefixes]


class Bcrypt:
    """Counts; compares only while `open` is set."""

    def __init__(self) -> None:
        self.calls = 0
        self.open = threading.Event()
        self.open.set()

    def matches_hash(self, presented: str, key_hash: str) -> bool:
        self.calls += 1
        assert self.open.wait(60)
        return matches_hash(presented, key_hash)


class Rig:
    def __init__(self, bcrypt: Bcrypt) -> None:
        self.redis = FakeRedis()
        self.store = FakeStore(ROW)
        self.bcrypt = bcrypt
        self.verifiers: list[KeyVerifier] = []
        self.verifier = self.another_process()

    def another_process(self, *, needs_cache: bool = True) -> KeyVerifier:
        """A verifier with nothing in its memory, on the same servers."""
        made = KeyVerifier(cast(Redis, self.redis), self.store, FORMAT, PEPPER, needs_cache=needs_cache)
        self.verifiers.append(made)
        return made

    @property
    def asked(self) -> tuple[int, int, int]:
        """How often Redis, Postgres and bcrypt were asked."""
        return self.redis.calls, len(self.store.queries), self.bcrypt.calls


@pytest.fixture
async def rig(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Rig]:
    bcrypt = Bcrypt()
    monkeypatch.setattr(checks, "matches_hash", bcrypt.matches_hash)
    made = Rig(bcrypt)
    yield made
    bcrypt.open.set()
    for verifier in made.verifiers:
        await verifier.close()


async def refusal(verifier: KeyVerifier, presented: str) -> Failure:
    with pytest.raises(Failure) as caught:
        await verifier.verify(presented)
    return caught.value


async def test_the_first_time_everybody_is_asked_and_afterwards_nobody(rig: Rig) -> None:
    assert await rig.verifier.verify(RIGHT) == WHO
    assert rig.asked == (2, 1, 1)  # Redis is asked, and told
    for _ in range(10):
        assert await rig.verifier.verify(RIGHT) == WHO
    assert rig.asked == (2, 1, 1)


async def test_who_is_known_is_told_without_waiting_and_nobody_else(rig: Rig) -> None:
    assert rig.verifier.known(RIGHT) is None
    await rig.verifier.verify(RIGHT)
    assert rig.verifier.known(RIGHT) == WHO
    assert [rig.verifier.known(other) for other in (key(2), RIGHT[:-1], "", "caf\udce9")] == [None] * 4
    assert rig.another_process().known(RIGHT) is None


async def test_what_redis_knows_postgres_and_bcrypt_are_not_asked(rig: Rig) -> None:
    await rig.verifier.verify(RIGHT)
    assert await rig.another_process().verify(RIGHT) == WHO
    assert rig.asked == (4, 1, 1)


async def test_redis_keeps_no_key_and_not_for_ever(rig: Rig) -> None:
    await rig.verifier.verify(RIGHT)
    ((name, value),) = rig.redis.kept.items()
    assert name == f"fb:identity:{cache_id(RIGHT, PEPPER)}"
    assert RIGHT not in name and lookup_prefix(RIGHT).encode() not in value and ROW.key_hash.encode() not in value
    assert 0 < rig.redis.ttls[name] <= 3600


@pytest.mark.parametrize(
    "presented", ["", "pp_live-", RIGHT[:-1], RIGHT + "x", RIGHT.replace("live", "test"), "é" * 40]
)
async def test_what_is_no_key_is_refused_without_asking_anybody(rig: Rig, presented: str) -> None:
    assert (await refusal(rig.verifier, presented)).code == "invalid_api_key"
    assert rig.asked == (0, 0, 0)


async def test_a_prefix_that_nobody_has_never_reaches_bcrypt(rig: Rig) -> None:
    for number in range(20):
        assert (await refusal(rig.verifier, key(number, "BBBBBBB"))).code == "invalid_api_key"
    assert rig.bcrypt.calls == 0 and len(rig.store.queries) == 20


async def test_a_wrong_key_with_somebodys_prefix(rig: Rig) -> None:
    failure = await refusal(rig.verifier, key(2))
    assert (failure.status, failure.code) == (401, "invalid_api_key")
    assert rig.bcrypt.calls == 1 and rig.redis.kept == {}


async def test_a_wrong_key_is_remembered(rig: Rig) -> None:
    for presented in (key(2), key(2, "BBBBBBB")):
        first = await refusal(rig.verifier, presented)
        asked = rig.asked
        again = await refusal(rig.verifier, presented)
        assert again.body() == first.body() and rig.asked == asked


async def test_a_wrong_key_does_not_stand_in_the_way_of_the_right_one(rig: Rig) -> None:
    await refusal(rig.verifier, key(2))
    assert await rig.verifier.verify(RIGHT) == WHO
    assert (await refusal(rig.verifier, key(2))).code == "invalid_api_key"


async def test_keys_that_share_a_prefix_are_told_apart(rig: Rig) -> None:
    other = row(key(2), number=2)
    rig.store.rows.append(other)
    assert (await rig.verifier.verify(key(2))).key_id == other.key_id
    assert await rig.verifier.verify(RIGHT) == WHO


async def test_a_hundred_equal_look_ups_at_once_are_one(rig: Rig) -> None:
    found = await asyncio.gather(*(rig.verifier.verify(RIGHT) for _ in range(100)))
    assert found == [WHO] * 100
    assert rig.asked == (2, 1, 1)


async def test_a_hundred_wrong_ones_are_one_too(rig: Rig) -> None:
    found = await asyncio.gather(*(rig.verifier.verify(key(2)) for _ in range(100)), return_exceptions=True)
    assert all(isinstance(failure, Failure) and failure.status == 401 for failure in found)
    assert rig.asked == (1, 1, 1)


async def test_different_keys_at_once_are_looked_up_in_one_query(rig: Rig) -> None:
    presented = [key(number, f"B{number:06d}") for number in range(50)]
    rig.store.rows += [row(presented[7], number=7)]
    found = await asyncio.gather(*map(rig.verifier.verify, presented), return_exceptions=True)
    assert len(rig.store.queries) == 1
    assert [number for number, who in enumerate(found) if isinstance(who, Identity)] == [7]


async def test_a_caller_that_leaves_takes_nothing_from_the_others(rig: Rig) -> None:
    rig.store.gate.clear()
    callers = [begin(rig.verifier.verify(RIGHT)) for _ in range(3)]
    await until(lambda: bool(rig.store.queries))
    callers[0].cancel()
    rig.store.gate.set()
    found = await asyncio.gather(*callers, return_exceptions=True)
    assert isinstance(found[0], asyncio.CancelledError)
    assert found[1:] == [WHO, WHO] and rig.asked == (2, 1, 1)


async def test_a_look_up_that_everybody_left_is_finished_all_the_same(rig: Rig) -> None:
    rig.store.gate.clear()
    caller = begin(rig.verifier.verify(RIGHT))
    await until(lambda: bool(rig.store.queries))
    caller.cancel()
    rig.store.gate.set()
    await until(lambda: bool(rig.redis.kept))
    assert await rig.verifier.verify(RIGHT) == WHO
    assert rig.bcrypt.calls == 1


async def test_wrong_keys_of_one_prefix_do_not_keep_others_waiting(rig: Rig) -> None:
    other = key(1, "BBBBBBB")
    rig.store.rows.append(row(other, number=2))
    rig.bcrypt.open.clear()
    crowd = [begin(rig.verifier.verify(key(number))) for number in range(2, 3 + PER_PREFIX)]
    (refused, *_), _ = await asyncio.wait(crowd, return_when=asyncio.FIRST_COMPLETED)
    failure = refused.exception()
    assert isinstance(failure, Failure)
    assert (failure.status, failure.code) == (503, "overloaded") and "retry-after" in failure.headers
    of_another = begin(rig.verifier.verify(other))
    rig.bcrypt.open.set()
    assert (await of_another).key_id == UUID(int=2)
    codes = [error.code for error in await asyncio.gather(*crowd, return_exceptions=True) if isinstance(error, Failure)]
    assert sorted(codes) == ["invalid_api_key"] * PER_PREFIX + ["overloaded"]


async def test_while_a_prefix_is_guessed_its_owner_gets_in_by_coming_back(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_s = [1_000.0]
    monkeypatch.setattr(checks, "Guesses", partial(Guesses, clock_s=lambda: now_s[0]))
    monkeypatch.setattr(checks, "_matches", lambda presented, _: (rig.bcrypt.matches_hash(presented, _), 0.05))
    verifier = rig.another_process()
    codes = [(await refusal(verifier, key(number))).code for number in range(2, 100)]
    assert codes == ["invalid_api_key"] * 4 + ["overloaded"] * 94
    queries = len(rig.store.queries)
    failure = await refusal(verifier, RIGHT)
    assert (failure.code, failure.headers["retry-after"]) == ("overloaded", "1")
    now_s[0] += 1
    assert (await refusal(verifier, key(200))).code == "invalid_api_key", "one more, as one was rested off"
    assert (await refusal(verifier, key(201))).code == "overloaded"
    assert await verifier.verify(RIGHT) == WHO
    assert (rig.bcrypt.calls, len(rig.store.queries)) == (6, queries + 2)
    # from then on nobody is in its way
    assert (await refusal(verifier, key(202))).code == "overloaded"
    assert [await each.verify(RIGHT) for each in (verifier, rig.another_process())] == [WHO, WHO]


async def test_bcrypt_has_a_bound_over_all_prefixes(rig: Rig) -> None:
    presented = [key(number, f"B{number // PER_PREFIX:06d}") for number in range(IN_ALL + 1)]
    rig.store.rows = [
        KeyRow(UUID(int=1), UUID(int=1), UUID(int=1), lookup_prefix(one), ROW.key_hash)
        for one in presented[::PER_PREFIX]
    ]
    rig.bcrypt.open.clear()
    crowd = [begin(rig.verifier.verify(one)) for one in presented]
    done, _ = await asyncio.wait(crowd, return_when=asyncio.FIRST_COMPLETED)
    failures = [task.exception() for task in done]
    assert [error.code for error in failures if isinstance(error, Failure)] == ["overloaded"]
    rig.bcrypt.open.set()
    await asyncio.gather(*crowd, return_exceptions=True)
    assert rig.bcrypt.calls == IN_ALL


async def test_bcrypt_has_room_again_when_the_crowd_is_through(rig: Rig) -> None:
    rig.bcrypt.open.clear()
    crowd = [begin(rig.verifier.verify(key(number))) for number in range(2, 3 + PER_PREFIX)]
    await asyncio.wait(crowd, return_when=asyncio.FIRST_COMPLETED)
    rig.bcrypt.open.set()
    await asyncio.gather(*crowd, return_exceptions=True)
    assert await rig.verifier.verify(RIGHT) == WHO


@pytest.mark.parametrize("error", [RedisGone("gone"), RedisSlow("slow")], ids=["gone", "slow"])
async def test_redis_away(rig: Rig, error: Exception) -> None:
    rig.redis.error = error
    failure = await refusal(rig.verifier, RIGHT)
    assert (failure.status, failure.code) == (503, "limits_unavailable") and "retry-after" in failure.headers
    assert rig.store.queries == []
    rig.redis.error = None
    assert await rig.verifier.verify(RIGHT) == WHO, "a failure is not remembered as a wrong key"


@pytest.mark.parametrize(
    "error",
    [ConnectionRefusedError(), TimeoutError(), asyncpg.InterfaceError("closed"), asyncpg.TooManyConnectionsError()],
    ids=lambda error: type(error).__name__,
)
async def test_postgres_away(rig: Rig, error: Exception) -> None:
    rig.store.error = error
    failure = await refusal(rig.verifier, RIGHT)
    assert (failure.status, failure.code) == (503, "accounts_unavailable") and "retry-after" in failure.headers
    rig.store.error = None
    assert await rig.verifier.verify(RIGHT) == WHO


async def test_postgres_away_is_not_felt_by_who_is_known(rig: Rig) -> None:
    await rig.verifier.verify(RIGHT)
    rig.store.error = ConnectionRefusedError()
    assert await rig.verifier.verify(RIGHT) == WHO
    assert await rig.another_process().verify(RIGHT) == WHO


async def test_a_failure_reaches_everybody_who_waits(rig: Rig) -> None:
    rig.store.error = ConnectionRefusedError()
    found = await asyncio.gather(*(rig.verifier.verify(RIGHT) for _ in range(10)), return_exceptions=True)
    assert [error.code for error in found if isinstance(error, Failure)] == ["accounts_unavailable"] * 10
    assert len(rig.store.queries) == 1


async def test_closing_ends_look_ups_under_way(rig: Rig) -> None:
    rig.store.gate.clear()
    caller = begin(rig.verifier.verify(RIGHT))
    await until(lambda: bool(rig.store.queries))
    await rig.verifier.close()
    with pytest.raises(asyncio.CancelledError):
        await caller


@pytest.mark.parametrize("error", [RedisGone("gone"), RedisSlow("slow")])
async def test_of_a_cluster_the_node_that_keeps_the_name_may_be_away(rig: Rig, error: Exception) -> None:
    """Whether the node of the wallet is, admission finds out."""
    rig.redis.error = error
    verifier = rig.another_process(needs_cache=False)
    assert await verifier.verify(RIGHT) == WHO
    assert (len(rig.store.queries), rig.bcrypt.calls, rig.redis.kept) == (1, 1, {})
    rig.redis.error = None
    assert await rig.another_process(needs_cache=False).verify(RIGHT) == WHO
    assert len(rig.redis.kept) == 1


async def test_a_refusal_leaves_nothing_to_the_garbage_collector(rig: Rig) -> None:
    """Thousands a second would stop the process for it."""
    rig.store.error = ConnectionRefusedError()
    await refusal(rig.verifier, key(1, "BBBBBBB"))
    gc.collect()
    gc.disable()
    try:
        for number in range(100):
            try:
                await rig.verifier.verify(key(number, "BBBBBBB"))
            except Failure as failure:
                assert failure.code == "accounts_unavailable"
        await asyncio.sleep(0)
        assert gc.collect() < 100
    finally:
        gc.enable()


async def test_known_is_what_this_process_has_verified_and_nobody_is_asked(rig: Rig) -> None:
    assert rig.verifier.known(RIGHT) is None
    await rig.verifier.verify(RIGHT)
    assert rig.verifier.known(RIGHT) == WHO
    assert [rig.verifier.known(presented) for presented in (key(2), "no key", "")] == [None] * 3
    assert rig.another_process().known(RIGHT) is None
