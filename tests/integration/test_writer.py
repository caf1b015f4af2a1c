"""The writer between a real Valkey and a real Postgres."""

import asyncio
import random
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import asyncpg
import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisGone

from ledger.audit import audit
from ledger.entries import SettledEntry, WalletState
from ledger.lanes import lane_of
from ledger.postgres import Store
from ledger.posting import OnStep, PostOutcome, no_step
from ledger.redis_schema import LEDGER_GROUP, usage_stream
from ledger.writer import MAX_ACKNOWLEDGED, LedgerWriter
from runtime.embedded.valkey import EmbeddedValkey
from runtime.postgres import create_pool
from runtime.tasks import TaskSet
from tests.support.ledger import (
    USD,
    cache_wallet,
    cached_wallet,
    everything_posted,
    funded_wallet,
    left_on_stream,
    settle,
    settled,
    until,
)
from tests.support.valkey_cluster import ValkeyCluster, client_of, emptied

STREAM = usage_stream(0)


@dataclass
class Ledger:
    redis: Redis
    store: Store

    async def wallet(self, nanos: int = 10 * USD) -> WalletState:
        wallet = await funded_wallet(self.store, nanos)
        await cache_wallet(self.redis, wallet)
        return wallet

    async def balance(self, wallet: WalletState) -> int:
        (state,) = await self.store.wallet_states([wallet.wallet_id])
        return state.balance_nanos

    async def balance_is(self, wallet: WalletState, nanos: int) -> bool:
        return await self.balance(wallet) == nanos

    async def stream_exists(self) -> bool:
        return bool(await self.redis.exists(STREAM))

    async def readers_are(self, names: set[bytes]) -> bool:
        return {consumer["name"] for consumer in await self.redis.xinfo_consumers(STREAM, LEDGER_GROUP)} == names

    @asynccontextmanager
    async def writing(self, *writers: LedgerWriter) -> AsyncIterator[asyncio.Event]:
        stop, tasks = asyncio.Event(), TaskSet()
        running = [tasks.spawn(writer.run(stop), name="writer") for writer in writers]
        try:
            yield stop
        finally:
            stop.set()
            await asyncio.wait_for(asyncio.gather(*running), 30)


async def same_lane(ledger: Ledger, count: int) -> list[WalletState]:
    """Wallets whose events are posted together."""
    found: dict[int, list[WalletState]] = defaultdict(list)
    while True:
        wallet = await ledger.wallet()
        lane = found[lane_of(wallet.wallet_id)]
        lane.append(wallet)
        if len(lane) == count:
            return lane


async def length_is(redis: Redis, length: int) -> bool:
    return bool(await redis.xlen(STREAM) == length)


@pytest.fixture
async def ledger(database_url: str, either_redis: Redis) -> AsyncIterator[Ledger]:
    pool = await create_pool(database_url, max_size=8)
    yield Ledger(either_redis, Store(pool))
    await pool.close()


async def test_events_are_posted_acknowledged_and_gone_and_the_balance_is_felt(ledger: Ledger) -> None:
    wallet = await ledger.wallet()
    for cost in range(1, 11):
        await settle(ledger.redis, settled(wallet, cost))
    assert (await cached_wallet(ledger.redis, wallet))["unposted"] == 55
    async with ledger.writing(LedgerWriter(ledger.redis, ledger.store, 0, "one")):
        await everything_posted(ledger.redis)
        await settle(ledger.redis, settled(wallet, 45))
        await everything_posted(ledger.redis)
    cached = await cached_wallet(ledger.redis, wallet)
    assert (cached["balance"], cached["unposted"], cached["held"]) == (10 * USD - 100, 0, 0)
    assert await ledger.balance(wallet) == 10 * USD - 100


async def test_a_writer_starts_a_stream_that_does_not_exist_yet(ledger: Ledger) -> None:
    async with ledger.writing(LedgerWriter(ledger.redis, ledger.store, 0, "one")):
        await until(ledger.stream_exists)
        wallet = await ledger.wallet()
        await settle(ledger.redis, settled(wallet, 5))
        await everything_posted(ledger.redis)
    assert await ledger.balance(wallet) == 10 * USD - 5


async def test_several_writers_share_the_work_and_post_each_event_once(ledger: Ledger) -> None:
    wallets = [await ledger.wallet() for _ in range(5)]
    for number in range(300):
        await settle(ledger.redis, settled(wallets[number % 5], 1000))
    writers = [
        LedgerWriter(ledger.redis, ledger.store, 0, f"writer-{n}", max_batch=20, claim_idle_ms=0, claim_interval_ms=0)
        for n in range(4)
    ]
    async with ledger.writing(*writers):
        await everything_posted(ledger.redis)
    for wallet in wallets:
        assert await ledger.balance(wallet) == 10 * USD - 60_000
        assert (await cached_wallet(ledger.redis, wallet))["unposted"] == 0
    assert (await audit(ledger.store.pool)).holds


async def test_what_is_acknowledged_in_several_calls_leaves_what_it_added(ledger: Ledger) -> None:
    wallets = await same_lane(ledger, 2)
    for number in range(MAX_ACKNOWLEDGED + 20):
        await settle(ledger.redis, settled(wallets[number % 2], 1000 + number))
    async with ledger.writing(LedgerWriter(ledger.redis, ledger.store, 0, "one")):
        await everything_posted(ledger.redis)
    for wallet in wallets:
        cached = await cached_wallet(ledger.redis, wallet)
        assert (cached["unposted"], cached["balance"]) == (0, await ledger.balance(wallet))
    assert (await audit(ledger.store.pool)).holds


async def test_the_same_request_settled_twice_is_debited_once_and_leaves_nothing_unposted(ledger: Ledger) -> None:
    wallet = await ledger.wallet()
    entry = settled(wallet, 70)
    await settle(ledger.redis, entry)
    await settle(ledger.redis, entry)
    async with ledger.writing(LedgerWriter(ledger.redis, ledger.store, 0, "one")):
        await everything_posted(ledger.redis)
    assert await ledger.balance(wallet) == 10 * USD - 70
    assert (await cached_wallet(ledger.redis, wallet))["unposted"] == 0


async def test_what_cannot_be_read_or_posted_is_set_aside_and_does_not_stop_the_rest(ledger: Ledger) -> None:
    wallet = await ledger.wallet()
    fields: list[dict[Any, Any]] = [{"entry": b"\xff\x00{", "charge": "5"}, {"other": "thing"}]
    for content in fields:
        await ledger.redis.xadd(STREAM, content)
    await settle(ledger.redis, settled(wallet, 10, output_tokens=-1))
    await settle(ledger.redis, settled(wallet, 30))
    async with ledger.writing(LedgerWriter(ledger.redis, ledger.store, 0, "one")):
        await everything_posted(ledger.redis)
    assert await ledger.balance(wallet) == 10 * USD - 30
    assert (await cached_wallet(ledger.redis, wallet))["unposted"] == 0
    assert await ledger.store.pool.fetchval("SELECT count(*) FROM farebox_dead_letters") == 3


async def test_a_wallet_that_redis_forgot_is_not_made_half_known(ledger: Ledger) -> None:
    wallet = await ledger.wallet()
    await settle(ledger.redis, settled(wallet, 10))
    await ledger.redis.delete(f"fb:{{0}}:wallet:{wallet.wallet_id}")
    async with ledger.writing(LedgerWriter(ledger.redis, ledger.store, 0, "one")):
        await everything_posted(ledger.redis)
    assert await cached_wallet(ledger.redis, wallet) == {}
    assert await ledger.balance(wallet) == 10 * USD - 10


async def test_large_amounts_stay_plain_integers_in_redis(ledger: Ledger) -> None:
    million = 1_000_000 * USD
    wallet = await ledger.wallet(8 * million)
    await settle(ledger.redis, settled(wallet, 3 * million + 1))
    await settle(ledger.redis, settled(wallet, 2 * million))
    async with ledger.writing(LedgerWriter(ledger.redis, ledger.store, 0, "one")):
        await everything_posted(ledger.redis)
    cached = await cached_wallet(ledger.redis, wallet)
    assert (cached["balance"], cached["unposted"]) == (3 * million - 1, 0)


class FlakyStore(Store):
    """Fails as a database does that goes away: before, in the middle, and after the commit."""

    def __init__(self, pool: Any) -> None:
        super().__init__(pool)
        self.failures: list[BaseException] = [
            ConnectionRefusedError(),
            asyncpg.DeadlockDetectedError("deadlock"),
            asyncpg.UndefinedColumnError("halfway through an upgrade"),
            TimeoutError(),
        ]

    async def post(self, entries: Any, on_step: OnStep = no_step) -> PostOutcome:
        if len(self.failures) > 1:
            raise self.failures.pop(0)
        outcome = await super().post(entries, on_step)
        if self.failures:
            raise self.failures.pop()
        return outcome


async def test_while_postgres_fails_nothing_is_lost_or_posted_twice(ledger: Ledger) -> None:
    wallet = await ledger.wallet()
    for _ in range(3):
        await settle(ledger.redis, settled(wallet, 100))
    store = FlakyStore(ledger.store.pool)
    async with ledger.writing(LedgerWriter(ledger.redis, store, 0, "one")):
        await everything_posted(ledger.redis)
    assert store.failures == []
    assert await ledger.balance(wallet) == 10 * USD - 300
    assert (await audit(ledger.store.pool)).holds


async def test_told_to_stop_while_postgres_is_away_it_leaves_the_events_pending(ledger: Ledger) -> None:
    wallet = await ledger.wallet()
    await settle(ledger.redis, settled(wallet, 100))

    class AwayStore(Store):
        async def post(self, entries: Any, on_step: OnStep = no_step) -> PostOutcome:
            stop.set()
            raise ConnectionRefusedError

    async with ledger.writing(LedgerWriter(ledger.redis, AwayStore(ledger.store.pool), 0, "one")) as stop:
        await asyncio.wait_for(stop.wait(), 30)
    assert await left_on_stream(ledger.redis) == (1, 1)
    async with ledger.writing(LedgerWriter(ledger.redis, ledger.store, 0, "one")):
        await everything_posted(ledger.redis)
    assert await ledger.balance(wallet) == 10 * USD - 100


async def test_a_stop_finishes_the_batch_in_hand(ledger: Ledger) -> None:
    wallet = await ledger.wallet()
    await settle(ledger.redis, settled(wallet, 100))

    def stop_at_read(step: str) -> None:
        if step == "read":
            stop.set()

    writer = LedgerWriter(ledger.redis, ledger.store, 0, "one", stop_at_read)
    async with ledger.writing(writer) as stop:
        await asyncio.wait_for(stop.wait(), 30)
    assert await left_on_stream(ledger.redis) == (0, 0)
    assert await ledger.balance(wallet) == 10 * USD - 100


async def test_redis_failing_at_any_moment_loses_nothing(
    ledger: Ledger, one_or_cluster: EmbeddedValkey | ValkeyCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    wallet = await ledger.wallet()
    watcher, chance = client_of(one_or_cluster), random.Random(3)
    real: Callable[..., Awaitable[Any]] = ledger.redis.execute_command

    async def some_answers_are_lost(*args: Any, **options: Any) -> Any:
        answer = await real(*args, **options)
        if chance.random() < 0.3:
            raise RedisGone("the answer was lost")
        return answer

    for _ in range(12):
        await settle(ledger.redis, settled(wallet, 100))
    monkeypatch.setattr(ledger.redis, "execute_command", some_answers_are_lost)
    async with ledger.writing(LedgerWriter(ledger.redis, ledger.store, 0, "one", max_batch=5)):
        await until(lambda: length_is(watcher, 0))
    assert await ledger.balance(wallet) == 10 * USD - 1200
    assert (await cached_wallet(watcher, wallet))["unposted"] == 0
    await watcher.aclose()
    assert (await audit(ledger.store.pool)).holds


async def test_an_emptied_redis_is_joined_again(ledger: Ledger, one_or_cluster: EmbeddedValkey | ValkeyCluster) -> None:
    wallet = await ledger.wallet()
    async with ledger.writing(LedgerWriter(ledger.redis, ledger.store, 0, "one")):
        await settle(ledger.redis, settled(wallet, 1))
        await until(lambda: ledger.balance_is(wallet, 10 * USD - 1))
        await emptied(one_or_cluster)
        await settle(ledger.redis, settled(wallet, 2))
        await until(lambda: ledger.balance_is(wallet, 10 * USD - 3))


async def test_what_a_dead_reader_left_is_taken_over_and_its_name_forgotten(ledger: Ledger) -> None:
    wallet = await ledger.wallet()
    await settle(ledger.redis, settled(wallet, 10))
    await ledger.redis.xgroup_create(STREAM, LEDGER_GROUP, id="0")
    await ledger.redis.xreadgroup(LEDGER_GROUP, "dead", {STREAM: ">"})
    assert await left_on_stream(ledger.redis) == (1, 1)
    writer = LedgerWriter(
        ledger.redis, ledger.store, 0, "alive", claim_idle_ms=0, claim_interval_ms=0, dead_idle_ms=0
    )  # fmt: skip
    async with ledger.writing(writer):
        await everything_posted(ledger.redis)
        await until(lambda: ledger.readers_are({b"alive"}))
    assert await ledger.balance(wallet) == 10 * USD - 10


async def test_a_reader_with_something_pending_is_never_forgotten(ledger: Ledger) -> None:
    wallet = await ledger.wallet()
    await settle(ledger.redis, settled(wallet, 10))
    await ledger.redis.xgroup_create(STREAM, LEDGER_GROUP, id="0")
    await ledger.redis.xreadgroup(LEDGER_GROUP, "slow", {STREAM: ">"})
    writer = LedgerWriter(ledger.redis, ledger.store, 0, "alive", claim_interval_ms=0, dead_idle_ms=0)
    async with ledger.writing(writer):
        second: SettledEntry = settled(wallet, 20)
        await settle(ledger.redis, second)
        await until(lambda: length_is(ledger.redis, 1))
    assert await ledger.readers_are({b"slow", b"alive"})
    assert await left_on_stream(ledger.redis) == (1, 1)
