"""Limits on a real Valkey: many requests at once, keys and wallets nobody loaded yet, and a server that goes away."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from redis.asyncio import Redis

from ledger.entries import KeyState, WalletState
from ledger.redis_schema import holds_key, shard_of, usage_stream
from ledger.redis_store import RedisStore
from metering.admission import Admission, Limits, LimitsUnavailable, Settlement
from metering.model import Outcome
from proxy import redis_client
from runtime.clock import monotonic_ms
from runtime.coalesce import Overloaded
from runtime.embedded.valkey import EmbeddedValkey
from runtime.tasks import TaskSet
from tests.support.ledger import cached_wallet
from tests.support.ledger import until as until_asked
from tests.support.waiting import until

WALLET = WalletState(UUID(int=1), UUID(int=2), 1_000, 0, 1)
KEY = KeyState(UUID(int=3), WALLET.wallet_id, WALLET.user_id, True, 0, 100_000, 100_000, 1)
PASSWORD = "none"
TIMEOUT_S = 1.0
BOUND_S = 30.0
NOW_MS = 1_700_000_000_000


class Postgres:
    """What the loader would find there; counts what it is asked for."""

    def __init__(self, redis: Redis, wallets: Sequence[WalletState] = (), keys: Sequence[KeyState] = ()) -> None:
        self._store = RedisStore(redis)
        self._wallets = wallets
        self._keys = keys
        self.asked: list[UUID] = []
        self.error: Exception | None = None

    async def push_wallets(self, ids: Sequence[UUID]) -> None:
        self._note(ids)
        await self._store.put_wallets([w for w in self._wallets if w.wallet_id in ids])

    async def push_keys(self, ids: Sequence[UUID]) -> None:
        self._note(ids)
        await self._store.put_keys([k for k in self._keys if k.key_id in ids])

    def _note(self, ids: Sequence[UUID]) -> None:
        if self.error is not None:
            raise self.error
        self.asked += ids


def asking(hold_nanos: int, request_id: UUID | None = None) -> Admission:
    return Admission(request_id or uuid4(), KEY.key_id, WALLET.wallet_id, hold_nanos)


def ended(request: Admission, cost_nanos: int, entry: bytes = b"{}") -> Settlement:
    return Settlement(request.request_id, request.wallet_id, cost_nanos, entry)


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


async def held(redis: Redis) -> tuple[int, int]:
    """Nano-dollars held on the wallet, and the number of holds."""
    return (await cached_wallet(redis, WALLET)).get("held", 0), await redis.hlen(holds_key(0))


async def events(redis: Redis) -> list[dict[bytes, bytes]]:
    found: Any = await redis.xrange(usage_stream(0))
    return [fields for _, fields in found]


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
    await until_asked(lambda: _holds_nothing(redis))
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
    await until_asked(lambda: _holds(redis, 10, 1))
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
    await until_asked(lambda: _holds_nothing(redis))
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
        assert await limits.key_is_good(KEY.key_id, WALLET.wallet_id, NOW_MS) is is_good
    assert postgres.asked == [KEY.key_id]


async def test_a_key_that_nobody_knows_is_not_good(redis: Redis) -> None:
    assert not await Limits(redis, Postgres(redis)).key_is_good(KEY.key_id, WALLET.wallet_id, NOW_MS)


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


class Server:
    """A Valkey of this test's own, which can be killed and comes back on its port with its data."""

    def __init__(self, folder: Path, stack: AsyncExitStack) -> None:
        self._folder = folder
        self._stack = stack
        self.clients: list[Redis] = []
        self.now_ms = 0

    async def start(self, port: int = 0) -> None:
        self._running = await EmbeddedValkey.start(self._folder / "valkey", PASSWORD, port=port)

    async def kill(self) -> None:
        os.kill(self._running.pid, signal.SIGKILL)
        await self._running.stop()

    async def come_back(self) -> None:
        await self.start(self._running.port)

    async def stop(self) -> None:
        await self._running.stop()

    def connect(self) -> Redis:
        client = redis_client.connect(self._running.url, TIMEOUT_S)
        self._stack.push_async_callback(client.aclose)
        return client

    async def limits(self, clock_ms: Callable[[], int] = monotonic_ms) -> tuple[Limits, Redis]:
        client = self.connect()
        postgres = Postgres(client, [WALLET], [KEY])
        await postgres.push_wallets([WALLET.wallet_id])
        await postgres.push_keys([KEY.key_id])
        return Limits(client, postgres, clock_ms=clock_ms), client


@pytest.fixture
async def server(reachable_dir: Path) -> AsyncIterator[Server]:
    async with AsyncExitStack() as stack:
        made = Server(reachable_dir, stack)
        await made.start()
        stack.push_async_callback(made.stop)
        yield made


async def refused(limits: Limits) -> LimitsUnavailable:
    with pytest.raises(LimitsUnavailable) as caught:
        await limits.admit(asking(10))
    return caught.value


async def test_away_is_told_at_once_and_back_is_noticed(server: Server) -> None:
    now_ms = [0]
    limits, redis = await server.limits(lambda: now_ms[0])
    await server.kill()
    # a hold that may have been placed is let go: those calls fail, and are counted, too
    while limits.is_available:
        assert str(await refused(limits)) == "ConnectionError"
    told = await refused(limits)
    assert (str(told), told.retry_after_ms) == ("breaker open", 1_000)
    now_ms[0] = 1_000
    assert [str(await refused(limits)) for _ in range(3)] == ["ConnectionError", "breaker open", "breaker open"]
    await server.come_back()
    await until(lambda: limits.is_available)
    assert (await limits.admit(asking(10))).outcome is Outcome.ADMITTED
    assert await limits.drain(BOUND_S) == 0
    assert await held(redis) == (10, 1)


async def test_what_was_settled_while_the_server_was_away_arrives_once(server: Server) -> None:
    limits, redis = await server.limits()
    requests = [asking(1) for _ in range(300)]
    await asyncio.gather(*map(limits.admit, requests))
    await server.kill()
    entries = [f"{{{n}}}".encode() for n in range(300)]
    charges = [limits.settle(ended(r, 1, entry)) for r, entry in zip(requests, entries, strict=True)]
    await until(lambda: not limits.is_available)
    await server.come_back()
    async with asyncio.timeout(BOUND_S):
        assert await asyncio.gather(*charges) == [1] * 300
    assert limits.is_available
    assert sorted(event[b"entry"] for event in await events(redis)) == sorted(entries)
    cached = await cached_wallet(redis, WALLET)
    assert (cached["held"], cached["unposted"]) == (0, 300)


async def test_draining_counts_what_could_not_be_brought_and_ends_it(server: Server) -> None:
    limits, _ = await server.limits()
    requests = [asking(1) for _ in range(300)]
    await asyncio.gather(*map(limits.admit, requests))
    await server.kill()
    charges = [limits.settle(ended(request, 1)) for request in requests]
    assert await limits.drain(0.05) == 300
    assert all(charge.cancelled() for charge in charges)
    with pytest.raises(Overloaded):
        limits.settle(ended(requests[0], 1))
    await server.come_back()


async def _holds(redis: Redis, nanos: int, count: int) -> bool:
    return await held(redis) == (nanos, count)


async def _holds_nothing(redis: Redis) -> bool:
    return await _holds(redis, 0, 0)
