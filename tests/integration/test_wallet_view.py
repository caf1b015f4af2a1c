"""What `GET /api/ai-api/wallet` shows: Postgres' balance, Redis' holds, the latest lines, what was used."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from redis.asyncio import Redis

from accounts.errors import InvalidRequest
from accounts.filters import MAX_LIMIT, MAX_OFFSET, Filter
from accounts.wallet_view import WalletView
from ledger.entries import WalletState
from ledger.postgres import Store
from ledger.redis_schema import shard_of, wallet_key
from runtime.clock import wall_ms
from runtime.postgres import create_pool
from tests.support.ledger import USD, cache_wallet, funded_wallet, settle, settled

TOMORROW = datetime.fromtimestamp(wall_ms() / 1000, UTC) + timedelta(days=1)


@dataclass(frozen=True)
class Desk:
    store: Store
    redis: Redis
    view: WalletView


@pytest.fixture
async def desk(database_url: str, redis_url: str) -> AsyncIterator[Desk]:
    pool = await create_pool(database_url)
    redis = Redis.from_url(redis_url)
    store = Store(pool)
    yield Desk(store, redis, WalletView(store, redis))
    await redis.aclose()
    await pool.close()


async def set_overdraft(desk: Desk, wallet: WalletState, dollars: int) -> WalletState:
    await desk.store.pool.execute("UPDATE ai_wallets SET overdraft = $2 WHERE id = $1", wallet.wallet_id, dollars)
    (changed,) = await desk.store.wallet_states([wallet.wallet_id])
    return changed


async def test_the_first_look_makes_the_wallet(desk: Desk) -> None:
    user_id = uuid4()
    seen = await desk.view.overview(user_id)
    assert (seen.wallet.balance_nanos, seen.wallet.held_nanos, seen.wallet.available_nanos) == (0, 0, 0)
    assert (seen.wallet.currency, seen.wallet.stripe_customer_id, seen.transactions) == ("USD", None, ())
    assert (seen.statistics.requests, seen.statistics.by_model) == (0, ())
    assert (await desk.view.overview(user_id)).wallet.id == seen.wallet.id


async def test_a_wallet_unknown_to_redis_has_nothing_held_and_all_of_it_free(desk: Desk) -> None:
    wallet = await set_overdraft(desk, await funded_wallet(desk.store, 3 * USD), 2)
    seen = (await desk.view.overview(wallet.user_id)).wallet
    assert (seen.balance_nanos, seen.overdraft_nanos) == (3 * USD, 2 * USD)
    assert (seen.held_nanos, seen.available_nanos) == (0, 5 * USD)


async def test_what_is_held_and_what_is_not_posted_yet_is_not_available(desk: Desk) -> None:
    wallet = await set_overdraft(desk, await funded_wallet(desk.store, 3 * USD), 2)
    await cache_wallet(desk.redis, wallet)
    await desk.redis.hset(wallet_key(0, wallet.wallet_id), "held", str(USD))
    entry = settled(wallet, 10)
    await settle(desk.redis, entry)
    before = (await desk.view.overview(wallet.user_id)).wallet
    assert (before.balance_nanos, before.held_nanos, before.available_nanos) == (3 * USD, USD, 4 * USD - 10)
    # Posted, and Redis not told yet: the charge must not be seen twice.
    await desk.store.post([entry])
    after = (await desk.view.overview(wallet.user_id)).wallet
    assert (after.balance_nanos, after.available_nanos) == (3 * USD - 10, 4 * USD - 10)


async def test_the_wallet_is_found_on_its_shard(desk: Desk) -> None:
    wallet = await funded_wallet(desk.store)
    await cache_wallet(desk.redis, wallet, shard_of(wallet.wallet_id, 7))
    await desk.redis.hset(wallet_key(shard_of(wallet.wallet_id, 7), wallet.wallet_id), "held", "5")
    seen = await WalletView(desk.store, desk.redis, shards=7).overview(wallet.user_id)
    assert (seen.wallet.held_nanos, seen.wallet.available_nanos) == (5, 10 * USD - 5)


async def some_lines(desk: Desk, count: int) -> WalletState:
    wallet = await funded_wallet(desk.store)
    await desk.store.post([settled(wallet, 100, model="a") for _ in range(count)])
    await desk.store.post([settled(wallet, 1, model="b")])
    return wallet


async def test_the_ten_latest_lines_and_what_was_used(desk: Desk) -> None:
    wallet = await some_lines(desk, 12)
    await some_lines(desk, 1)
    seen = await desk.view.overview(wallet.user_id)
    assert len(seen.transactions) == 10
    assert seen.transactions[0].balance_after_nanos == seen.wallet.balance_nanos == 10 * USD - 1201
    assert [line.amount_nanos for line in seen.transactions] == [-1] + [-100] * 9
    assert (seen.statistics.requests, seen.statistics.tokens, seen.statistics.cost_nanos) == (13, 520, 1201)
    assert [(used.name, used.requests, used.cost_nanos) for used in seen.statistics.by_model] == [
        ("a", 12, 1200),
        ("b", 1, 1),
    ]


async def test_limit_offset_and_filters(desk: Desk) -> None:
    wallet = await some_lines(desk, 4)

    async def amounts(wanted: Filter, **more: Any) -> list[int]:
        seen = await desk.view.overview(wallet.user_id, wanted, **more)
        return [line.amount_nanos for line in seen.transactions]

    everything = Filter()
    assert await amounts(everything, limit=2) == [-1, -100]
    assert await amounts(everything, limit=MAX_LIMIT, offset=4) == [-100, 10 * USD]
    assert await amounts(everything, offset=MAX_OFFSET) == []
    assert await amounts(Filter(model="b")) == [-1]
    assert await amounts(Filter(start=TOMORROW)) == []
    assert await amounts(Filter(end=TOMORROW), limit=1) == [-1]
    used = (await desk.view.overview(wallet.user_id, Filter(model="b"))).statistics
    assert (used.requests, used.cost_nanos) == (1, 1)
    none = (await desk.view.overview(wallet.user_id, Filter(end=TOMORROW - timedelta(days=9)))).statistics
    assert (none.requests, none.by_model) == (0, ())


@pytest.mark.parametrize(
    "bad",
    [{"limit": 0}, {"limit": MAX_LIMIT + 1}, {"limit": float("nan")}, {"offset": -1}, {"offset": 10**18}],
)
async def test_bad_limits_are_refused_before_anything_is_made(desk: Desk, bad: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest):
        await desk.view.overview(uuid4(), **bad)
    assert await desk.store.pool.fetchval("SELECT count(*) FROM ai_wallets") == 0


async def test_the_stripe_customer_is_shown(desk: Desk) -> None:
    wallet = await desk.store.ensure_wallet(UUID(int=9))
    await desk.store.pool.execute("UPDATE ai_wallets SET stripe_customer_id = 'cus_1' WHERE id = $1", wallet.wallet_id)
    assert (await desk.view.overview(UUID(int=9))).wallet.stripe_customer_id == "cus_1"
