"""The books in a real Redis: what is broken by hand is named, what is in motion is not blamed."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import pytest
from msgspec.structs import replace
from redis.asyncio import Redis

from ledger.audit_redis import CACHED, HELD, UNPOSTED, RedisAudit, RedisReport
from ledger.entries import WalletState
from ledger.postgres import Store
from ledger.redis_schema import LEDGER_GROUP, holds_key, usage_stream, wallet_key
from ledger.writer import LedgerWriter
from runtime.postgres import create_pool
from runtime.tasks import TaskSet
from tests.support.ledger import USD, cache_wallet, everything_posted, funded_wallet, settle, settled


@dataclass
class Books:
    redis: Redis
    store: Store

    async def wallet(self, shard: int = 0) -> WalletState:
        wallet = await funded_wallet(self.store)
        await cache_wallet(self.redis, wallet, shard)
        return wallet

    async def hold(self, wallet: WalletState, nanos: int, *, names_wallet: bool = True, shard: int = 0) -> None:
        text = f"{nanos} 1700000000000 {wallet.wallet_id} {UUID(int=7)} " if names_wallet else str(nanos)
        fields: dict[Any, Any] = {uuid4().bytes: text}
        await self.redis.hset(holds_key(shard), mapping=fields)
        await self.redis.hincrby(wallet_key(shard, wallet.wallet_id), "held", nanos)

    async def change(self, wallet: WalletState, name: str, by: int) -> None:
        await self.redis.hincrby(wallet_key(0, wallet.wallet_id), name, by)

    async def audit(self, **options: Any) -> RedisReport:
        return await RedisAudit(self.redis, self.store, **{"second_look_s": 0.0, **options}).run()

    async def broken(self) -> set[tuple[str, UUID | None]]:
        return {(found.rule, found.wallet_id) for found in (await self.audit()).violations}


@pytest.fixture
async def books(database_url: str, redis_url: str) -> AsyncIterator[Books]:
    pool = await create_pool(database_url)
    redis = Redis.from_url(redis_url)
    yield Books(redis, Store(pool))
    await redis.aclose()
    await pool.close()


async def test_books_that_are_right_before_and_after_an_event_is_read(books: Books) -> None:
    assert await books.audit() == RedisReport()
    wallets = [await books.wallet() for _ in range(3)]
    for number, wallet in enumerate(wallets):
        await books.hold(wallet, 10 + number)
        await books.hold(wallet, 0)
        await settle(books.redis, settled(wallet, 70 + number, metadata={"wallet_id": str(wallets[0].wallet_id)}))
    assert await books.audit() == RedisReport()
    await books.redis.xgroup_create(usage_stream(0), LEDGER_GROUP, id="0")
    await books.redis.xreadgroup(LEDGER_GROUP, "one", {usage_stream(0): ">"})  # pending, and dead by now
    assert await books.audit() == RedisReport()


async def test_what_is_held_or_unposted_without_a_reason_is_named(books: Books) -> None:
    good, more, less, charged = [await books.wallet() for _ in range(4)]
    for wallet in (good, more, less, charged):
        await books.hold(wallet, 10)
        await settle(books.redis, settled(wallet, 7))
    await books.change(more, "held", 1)
    await books.change(less, "held", -1)
    await books.change(charged, "unposted", 5)
    report = await books.audit()
    assert {(found.rule, found.wallet_id, found.detail) for found in report.violations} == {
        (HELD, more.wallet_id, "held 11, its holds come to 10"),
        (HELD, less.wallet_id, "held 9, its holds come to 10"),
        (UNPOSTED, charged.wallet_id, "unposted 12, its events charge 7"),
    }


async def test_a_hold_that_does_not_say_whose_it_is_may_be_anybodys(books: Books) -> None:
    one, other = await books.wallet(), await books.wallet()
    await books.hold(one, 10, names_wallet=False)
    await books.hold(other, 5)
    assert await books.audit() == RedisReport()
    await books.change(other, "held", 11)
    assert await books.broken() == {(HELD, other.wallet_id)}


async def test_a_balance_that_postgres_does_not_have_is_named(books: Books) -> None:
    good, wrong, ahead, behind = [await books.wallet() for _ in range(4)]
    await books.change(wrong, "balance", 1)
    await books.change(ahead, "version", 1)
    await books.store.record(behind.wallet_id, "bonus", 5, "")  # on its way: the mirror brings it
    gone = replace(good, wallet_id=uuid4())
    await cache_wallet(books.redis, gone)
    assert await books.broken() == {(CACHED, wrong.wallet_id), (CACHED, ahead.wallet_id), (CACHED, gone.wallet_id)}


async def test_every_shard_is_looked_at(books: Books) -> None:
    wallet = await books.wallet(shard=2)
    await books.hold(wallet, 5, shard=2)
    await settle(books.redis, settled(wallet, 3), shard=2)
    assert await books.audit(shards=3) == RedisReport()
    await books.redis.delete(holds_key(2))
    assert [found.rule for found in (await books.audit(shards=3)).violations] == [HELD]
    assert await books.audit(shards=2) == RedisReport()


async def test_what_is_too_much_is_left_out_and_said(books: Books) -> None:
    wallets = [await books.wallet() for _ in range(3)]
    for wallet in wallets:
        await books.hold(wallet, 5)
        await settle(books.redis, settled(wallet, 3))
        await books.change(wallet, "held", 1)
    said = "shard 0: 3 holds and 3 events are too many to look through"
    assert await books.audit(max_holds=2) == RedisReport((), (said,))
    assert await books.audit(max_events=2) == RedisReport((), (said,))
    report = await books.audit(max_wallets=2)
    assert (len(report.violations), report.left_out) == (2, ("shard 0: all but 2 wallets",))
    assert len((await books.audit(max_holds=3, max_events=3)).violations) == 3


async def test_what_is_gone_at_the_second_look_does_not_count(books: Books, monkeypatch: pytest.MonkeyPatch) -> None:
    mended, still = await books.wallet(), await books.wallet()
    for wallet in (mended, still):
        await books.change(wallet, "unposted", 5)

    async def meanwhile(_seconds: float) -> None:
        await books.change(mended, "unposted", -5)
        await books.change(still, "held", 1)  # new: seen once

    monkeypatch.setattr("ledger.audit_redis.asyncio.sleep", meanwhile)
    assert await books.broken() == {(UNPOSTED, still.wallet_id)}


async def test_nothing_in_motion_is_blamed(books: Books) -> None:
    """Settled, posted and acknowledged all the while; each audit looks in the middle of it."""
    wallets = [await books.wallet() for _ in range(4)]
    stop, tasks = asyncio.Event(), TaskSet()
    writer = LedgerWriter(books.redis, books.store, 0, "one", max_batch=7, linger_s=0)
    running = tasks.spawn(writer.run(stop), name="writer")

    async def settle_some() -> None:
        for number in range(200):
            entry = settled(wallets[number % 4], 100)
            async with books.redis.pipeline(transaction=True) as pipeline:  # as the script does it: at once
                pipeline.hincrby(wallet_key(0, entry.entry.wallet_id), "unposted", entry.charge_nanos)
                fields: dict[Any, Any] = {"entry": entry.entry.to_json(), "charge": str(entry.charge_nanos)}
                pipeline.xadd(usage_stream(0), fields)
                await pipeline.execute()

    settling = tasks.spawn(settle_some(), name="settling")
    audits = 0
    while not settling.done():
        assert await books.audit() == RedisReport()
        audits += 1
    await settling
    await everything_posted(books.redis)
    stop.set()
    await running
    assert audits > 1
    assert await books.audit() == RedisReport()
    states = await books.store.wallet_states([wallet.wallet_id for wallet in wallets])
    assert {state.balance_nanos for state in states} == {10 * USD - 5000}


async def test_it_changes_nothing(books: Books) -> None:
    wallet = await books.wallet()
    await books.hold(wallet, 5)
    await settle(books.redis, settled(wallet, 3))
    await books.change(wallet, "held", 1)

    async def everything() -> dict[bytes, bytes | None]:
        return {name: await books.redis.dump(name) async for name in books.redis.scan_iter()}

    before = await everything()
    assert len(before) == 3
    assert len((await books.audit()).violations) == 1
    assert await everything() == before
