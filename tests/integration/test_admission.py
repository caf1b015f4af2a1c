"""Limits on a real Valkey: many requests at once, and keys and wallets that nobody has loaded yet."""

import asyncio
from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import pytest
from msgspec.structs import replace
from redis.asyncio import Redis

from ledger.entries import KeyState, WalletState
from ledger.redis_schema import holds_key, shard_of, usage_stream
from ledger.redis_store import RedisStore
from metering.admission import Admission, KeyStanding, Limits, LimitsUnavailable
from metering.policy import ANYTHING, Policy
from metering.verdict import Outcome
from proxy import redis_client
from runtime.tasks import TaskSet
from tests.support.ledger import cached_wallet, until
from tests.support.limits import BOUND_S, KEY, TIMEOUT_S, WALLET, Postgres, asking, ended, events, held

NOW_MS = 1_700_000_000_000


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    client = redis_client.connect(redis_url, TIMEOUT_S)
    yield client
    await client.aclose()


@pytest.fixture
async def postgres(redis: Redis) -> Postgres:
    return Postgres(redis, [WALLET], [KEY])


@pytest.fixture
async def limits(redis: Redis, postgres: Postgres) -> AsyncIterator[Limits]:
    """With the key and the wallet known."""
    await postgres.push_wallets([WALLET.wallet_id])
    await postgres.push_keys([KEY.key_id])
    postgres.asked.clear()
    made = Limits(redis, postgres)
    yield made
    assert await made.drain(BOUND_S) == 0


async def script_calls(redis: Redis) -> int:
    stats = await redis.info("commandstats")
    return int(stats["cmdstat_evalsha"]["calls"])


async def test_many_at_once_travel_in_few_calls(limits: Limits, redis: Redis) -> None:
    await limits.admit(asking(1))  # the script is known from here on
    before = await script_calls(redis)
    decisions = await asyncio.gather(*(limits.admit(asking(1)) for _ in range(512)))
    assert await script_calls(redis) - before == 512 // 128
    assert {decision.outcome for decision in decisions} == {Outcome.ADMITTED}


async def test_money_for_a_hundred_admits_exactly_a_hundred(limits: Limits, redis: Redis) -> None:
    decisions = await asyncio.gather(*(limits.admit(asking(10)) for _ in range(500)))
    outcomes = [decision.outcome for decision in decisions]
    assert (outcomes.count(Outcome.ADMITTED), outcomes.count(Outcome.NO_FUNDS)) == (100, 400)
    assert await held(redis) == (1_000, 100)
    assert min(decision.available_nanos for decision in decisions) == 0


async def test_processes_that_share_a_wallet_do_not_overspend_it(limits: Limits, redis: Redis, redis_url: str) -> None:
    others = [redis_client.connect(redis_url, TIMEOUT_S) for _ in range(3)]
    everyone = [limits, *(Limits(other, Postgres(other)) for other in others)]
    decisions = await asyncio.gather(*(one.admit(asking(10)) for one in everyone for _ in range(100)))
    assert sum(decision.outcome is Outcome.ADMITTED for decision in decisions) == 100
    assert await held(redis) == (1_000, 100)
    for other in others:
        await other.aclose()


async def test_a_settled_request_leaves_its_charge_and_its_entry(limits: Limits, redis: Redis) -> None:
    request = asking(100)
    decision = await limits.admit(request)
    assert (decision.minute.remaining, decision.available_nanos) == (KEY.requests_per_minute - 1, 900)
    assert await limits.settle(ended(request, 60, b'{"x":1}')) == 60
    cached = await cached_wallet(redis, WALLET)
    assert (cached["held"], cached["unposted"]) == (0, 60)
    assert await events(redis) == [{b"entry": b'{"x":1}', b"charge": b"60"}]


async def test_a_free_request_holds_nothing_and_settles(limits: Limits, redis: Redis) -> None:
    request = asking(0)
    assert (await limits.admit(request)).outcome is Outcome.ADMITTED
    async with asyncio.timeout(BOUND_S):
        assert await limits.settle(ended(request, 0)) == 0
    assert await held(redis) == (0, 0)


async def test_a_released_hold_leaves_no_event(limits: Limits, redis: Redis) -> None:
    request = asking(100)
    await limits.admit(request)
    limits.release(request)
    await until(lambda: _holds_nothing(redis))
    assert await redis.xlen(usage_stream(0)) == 0


async def test_what_redis_does_not_know_is_loaded_once(redis: Redis, postgres: Postgres) -> None:
    limits = Limits(redis, postgres)
    assert (await limits.admit(asking(1))).outcome is Outcome.ADMITTED
    assert sorted(postgres.asked) == [WALLET.wallet_id, KEY.key_id]
    await limits.admit(asking(1))
    assert len(postgres.asked) == 2


async def test_what_nobody_knows_is_asked_for_once(redis: Redis) -> None:
    nobody = Postgres(redis)
    limits = Limits(redis, nobody)
    assert (await limits.admit(asking(1))).outcome is Outcome.UNKNOWN_KEY
    assert len(nobody.asked) == 2


async def test_what_cannot_be_loaded_is_not_admitted(redis: Redis, postgres: Postgres) -> None:
    limits = Limits(redis, postgres)
    postgres.error = ConnectionRefusedError()
    with pytest.raises(LimitsUnavailable) as caught:
        await limits.admit(asking(1))
    assert caught.value.retry_after_ms > 0
    assert limits.is_available
    postgres.error = None
    assert (await limits.admit(asking(1))).outcome is Outcome.ADMITTED


async def test_the_hold_of_a_caller_that_left_is_let_go(limits: Limits, redis: Redis) -> None:
    tasks = TaskSet()
    before = await cached_wallet(redis, WALLET)
    callers = [tasks.spawn(limits.admit(asking(10)), name=f"caller-{n}") for n in range(20)]
    await asyncio.sleep(0)
    for caller in callers[1:]:
        caller.cancel()
    assert (await callers[0]).outcome is Outcome.ADMITTED
    await until(lambda: _holds(redis, 10, 1))
    assert (await cached_wallet(redis, WALLET))["balance"] == before["balance"]
    assert await redis.xlen(usage_stream(0)) == 0
    await tasks.cancel()


async def test_a_server_that_answers_too_late_admits_nobody_and_keeps_no_hold(
    limits: Limits, redis: Redis, redis_url: str
) -> None:
    slow = redis_client.connect(redis_url, 0.1)
    impatient = Limits(slow, Postgres(slow))
    await redis.client_pause(60_000, all=False)
    with pytest.raises(LimitsUnavailable, match="Timeout"):
        await impatient.admit(asking(10))
    await redis.client_unpause()
    assert await impatient.drain(BOUND_S) == 0
    await until(lambda: _holds_nothing(redis))
    await slow.aclose()


@pytest.mark.parametrize(
    ("is_active", "expires_ms", "is_good"),
    [(True, 0, True), (True, NOW_MS + 1, True), (True, NOW_MS, False), (False, 0, False)],
)
async def test_a_key_is_asked_about_without_taking_anything(
    redis: Redis, is_active: bool, expires_ms: int, is_good: bool
) -> None:
    key = KeyState(KEY.key_id, WALLET.wallet_id, WALLET.user_id, is_active, expires_ms, 1, 1, 1)
    postgres = Postgres(redis, [WALLET], [key])
    limits = Limits(redis, postgres)
    for _ in range(3):
        assert await limits.standing(KEY.key_id, WALLET.wallet_id, NOW_MS) == KeyStanding(is_good, False, ANYTHING)
    assert postgres.asked == [KEY.key_id]


async def test_a_key_that_nobody_knows_is_not_good(redis: Redis) -> None:
    standing = await Limits(redis, Postgres(redis)).standing(KEY.key_id, WALLET.wallet_id, NOW_MS)
    assert not standing.is_good


async def test_what_a_key_may_do_is_told_without_taking_anything(redis: Redis) -> None:
    key = replace(KEY, is_frozen=True, policy='{"models":["a"]}')
    limits = Limits(redis, Postgres(redis, [WALLET], [key]))
    standing = await limits.standing(KEY.key_id, WALLET.wallet_id, NOW_MS)
    assert standing == KeyStanding(True, True, Policy.parse(key.policy))


async def test_each_shard_has_its_own_holds_and_events(redis: Redis) -> None:
    wallets = [WalletState(UUID(int=n), WALLET.user_id, 1_000, 0, 1) for n in range(4)]
    store = RedisStore(redis, shards=2)
    await store.put_wallets(wallets)
    keys = [KeyState(UUID(int=50 + w.wallet_id.int), w.wallet_id, w.user_id, True, 0, 9, 9, 1) for w in wallets]
    await store.put_keys(keys)
    limits = Limits(redis, Postgres(redis), shards=2)
    requests = [Admission(uuid4(), key.key_id, key.wallet_id, 10) for key in keys]
    await asyncio.gather(*map(limits.admit, requests))
    assert [await redis.hlen(holds_key(shard)) for shard in range(2)] == [2, 2]
    await asyncio.gather(*(limits.settle(ended(request, 5)) for request in requests))
    assert [await redis.hlen(holds_key(shard)) for shard in range(2)] == [0, 0]
    assert [await redis.xlen(usage_stream(shard)) for shard in range(2)] == [2, 2]
    assert [shard_of(w.wallet_id, 2) for w in wallets] == [0, 1, 0, 1]


async def _holds(redis: Redis, nanos: int, count: int) -> bool:
    return await held(redis) == (nanos, count)


async def _holds_nothing(redis: Redis) -> bool:
    return await _holds(redis, 0, 0)
