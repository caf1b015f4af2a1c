"""What Redis knows about wallets and keys follows Postgres, whoever changed it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import pytest
from msgspec.structs import replace
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisGone

from ledger.audit import audit
from ledger.balances import StateMirror
from ledger.entries import KeyState, WalletState
from ledger.money import from_decimal
from ledger.postgres import Store
from ledger.redis_schema import key_state_key, shard_of, wallet_key
from ledger.redis_store import RedisStore
from runtime.postgres import create_pool
from runtime.tasks import TaskSet
from tests.support.ledger import USD, cache_wallet, cached_wallet, funded_wallet, settled, until

NEVER_S = 3600.0


@dataclass
class Cache:
    redis: Redis
    store: Store
    database_url: str

    def mirror(self, sweep_interval_s: float = NEVER_S) -> StateMirror:
        return StateMirror(RedisStore(self.redis), self.store, self.database_url, sweep_interval_s=sweep_interval_s)

    @asynccontextmanager
    async def mirroring(self, sweep_interval_s: float = NEVER_S) -> AsyncIterator[None]:
        """Runs a mirror; inside, it has caught up with everything that was before."""
        stop, tasks, mirror = asyncio.Event(), TaskSet(), self.mirror(sweep_interval_s)

        async def has_swept() -> bool:
            return mirror.has_swept

        running = tasks.spawn(mirror.run(stop), name="mirror")
        try:
            await until(has_swept)
            yield
        finally:
            stop.set()
            await asyncio.wait_for(running, 30)

    async def make_key(self, user_id: UUID) -> UUID:
        insert = "INSERT INTO ai_api_keys (user_id, key_prefix, key_hash, name) VALUES ($1, 'p', 'h', 'n') RETURNING id"
        made: UUID = await self.store.pool.fetchval(insert, user_id)
        return made

    async def key(self, key_id: UUID) -> dict[str, int]:
        found: dict[Any, Any] = await self.redis.hgetall(key_state_key(0, key_id))
        return {name.decode(): int(value) for name, value in found.items()}

    async def key_is(self, key_id: UUID, **expected: int) -> bool:
        found = await self.key(key_id)
        return {name: found.get(name) for name in expected} == expected

    async def balance_is(self, wallet: WalletState, nanos: int) -> bool:
        return (await cached_wallet(self.redis, wallet)).get("balance") == nanos


@pytest.fixture
async def cache(database_url: str, redis_url: str) -> AsyncIterator[Cache]:
    pool = await create_pool(database_url)
    redis = Redis.from_url(redis_url)
    yield Cache(redis, Store(pool), database_url)
    await redis.aclose()
    await pool.close()


async def test_an_older_state_never_replaces_a_newer_one_and_held_money_is_left_alone(cache: Cache) -> None:
    wallet = await funded_wallet(cache.store, 100)
    redis_store = RedisStore(cache.redis)
    await cache.redis.hset(wallet_key(0, wallet.wallet_id), mapping={"held": 5, "unposted": 6})
    assert await redis_store.put_wallets([wallet]) == 1
    assert await redis_store.put_wallets([wallet]) == 0
    assert await redis_store.put_wallets([replace(wallet, balance_nanos=1, version=wallet.version - 1)]) == 0
    newer = replace(wallet, balance_nanos=8_999_999_999_999_999, overdraft_nanos=7, version=wallet.version + 1)
    assert await redis_store.put_wallets([newer]) == 1
    assert await cached_wallet(cache.redis, wallet) == {
        "balance": 8_999_999_999_999_999, "overdraft": 7, "version": newer.version,
        "held": 5, "unposted": 6, "frozen": 0,
    }  # fmt: skip


async def test_a_sweep_puts_only_what_redis_knows(cache: Cache) -> None:
    wallet = await funded_wallet(cache.store, 100)
    redis_store = RedisStore(cache.redis)
    assert await redis_store.put_wallets([wallet], only_known=True) == 0
    key = KeyState(uuid4(), wallet.wallet_id, wallet.user_id, True, 0, 60, 1000, 1)
    assert await redis_store.put_keys([key], only_known=True) == 0
    assert await cache.redis.dbsize() == 0


async def test_a_key_is_put_with_its_limits_and_lapses_when_nobody_asks(cache: Cache) -> None:
    wallet = await funded_wallet(cache.store)
    key_id = await cache.make_key(wallet.user_id)
    await cache.store.pool.execute("UPDATE ai_api_keys SET expires_at = '2030-01-01T00:00:00Z', rate_limit_per_day = 7")
    await cache.redis.hset(key_state_key(0, key_id), mapping={"rpm_level": 3})
    await cache.mirror().push_keys([key_id])
    assert await cache.key(key_id) == {
        "active": 1, "expires_ms": 1_893_456_000_000, "rpm": 60, "rpd": 7, "version": 2, "rpm_level": 3
    }  # fmt: skip
    assert 0 < await cache.redis.pttl(key_state_key(0, key_id)) <= 2 * 24 * 3600 * 1000


async def test_states_go_to_the_shard_of_their_wallet(cache: Cache) -> None:
    wallets = [await funded_wallet(cache.store) for _ in range(8)]
    await RedisStore(cache.redis, shards=3).put_wallets(wallets)
    for wallet in wallets:
        shard = wallet.wallet_id.int % 3
        assert (await cached_wallet(cache.redis, wallet, shard))["balance"] == wallet.balance_nanos


async def test_a_push_is_felt_at_once_and_a_deleted_key_is_a_revoked_one(cache: Cache) -> None:
    wallet = await funded_wallet(cache.store, 100)
    key_id = await cache.make_key(wallet.user_id)
    mirror = cache.mirror()
    await mirror.push_wallets([wallet.wallet_id, uuid4()])
    assert await cache.balance_is(wallet, 100)
    await mirror.push_keys([key_id])
    assert await cache.key_is(key_id, active=1)
    older = await cache.store.key_states([key_id])
    await cache.store.pool.execute("DELETE FROM ai_api_keys")
    await mirror.push_keys([key_id])
    assert await RedisStore(cache.redis).put_keys(older) == 0  # a loader that read it before
    assert await cache.key_is(key_id, active=0)


async def test_changes_made_by_hand_in_sql_are_followed(cache: Cache) -> None:
    wallet = await funded_wallet(cache.store, 100)
    key_id = await cache.make_key(wallet.user_id)
    async with cache.mirroring():
        await cache.store.pool.execute("UPDATE ai_wallets SET balance = 7")
        await until(lambda: cache.balance_is(wallet, 7 * USD))
        await cache.store.pool.execute("UPDATE ai_api_keys SET is_active = false")
        await until(lambda: cache.key_is(key_id, active=0))
        await cache.store.pool.execute("UPDATE ai_api_keys SET is_active = true")
        await until(lambda: cache.key_is(key_id, active=1))
        await cache.store.pool.execute("DELETE FROM ai_api_keys")
        await until(lambda: cache.key_is(key_id, active=0))
    lines = await cache.store.pool.fetch("SELECT type, amount FROM ai_transactions ORDER BY seq")
    assert [(line["type"], from_decimal(line["amount"])) for line in lines] == [
        ("bonus", 100), ("adjustment", 7 * USD - 100)
    ]  # fmt: skip
    assert (await cached_wallet(cache.redis, wallet))["version"] == wallet.version + 1
    assert (await audit(cache.store.pool)).holds


async def test_a_wallet_made_by_hand_is_followed(cache: Cache) -> None:
    async with cache.mirroring():
        insert = "INSERT INTO ai_wallets (user_id, balance) VALUES (gen_random_uuid(), 3) RETURNING id"
        wallet_id: UUID = await cache.store.pool.fetchval(insert)
        (wallet,) = await cache.store.wallet_states([wallet_id])
        await until(lambda: cache.balance_is(wallet, 3 * USD))
    assert (await audit(cache.store.pool)).holds


async def test_posting_does_not_announce(cache: Cache) -> None:
    wallet = await funded_wallet(cache.store, 100)
    heard: list[str] = []
    async with cache.store.pool.acquire() as connection:

        def hear(_connection: object, _pid: int, _channel: str, payload: object) -> None:
            heard.append(str(payload))

        await connection.add_listener("farebox_wallets", hear)
        await cache.store.post([settled(wallet, 1)])
        await cache.store.record(wallet.wallet_id, "bonus", 1, "")
        await connection.execute("SELECT 1")
        await connection.remove_listener("farebox_wallets", hear)
    assert heard == [str(wallet.wallet_id)]


async def test_what_changed_before_it_listened_is_swept(cache: Cache) -> None:
    wallet = await funded_wallet(cache.store, 100)
    key_id = await cache.make_key(wallet.user_id)
    await cache.mirror().push_wallets([wallet.wallet_id])
    await cache.mirror().push_keys([key_id])
    await cache.store.record(wallet.wallet_id, "bonus", 5, "")
    await cache.store.pool.execute("UPDATE ai_api_keys SET is_active = false")
    async with cache.mirroring():
        assert await cache.balance_is(wallet, 105)
        assert await cache.key_is(key_id, active=0)


async def test_a_change_nobody_announced_is_found_by_the_next_sweep(cache: Cache) -> None:
    wallet = await funded_wallet(cache.store, 100)
    await cache_wallet(cache.redis, wallet)
    async with cache.mirroring(sweep_interval_s=0.05):
        async with cache.store.pool.acquire() as connection, connection.transaction():
            await connection.execute("SELECT set_config('farebox.posting', '1', true)")
            await connection.execute("UPDATE ai_wallets SET balance = 3")
        await until(lambda: cache.balance_is(wallet, 3 * USD))


async def test_a_lost_connection_is_made_again_and_what_was_missed_is_found(cache: Cache) -> None:
    wallet = await funded_wallet(cache.store, 100)
    await cache_wallet(cache.redis, wallet)
    async with cache.mirroring():
        async with cache.store.pool.acquire() as connection, connection.transaction():
            await connection.execute("UPDATE ai_wallets SET balance = 4")
            await connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND query = 'SELECT 1' AND pid <> pg_backend_pid()"
            )
        await until(lambda: cache.balance_is(wallet, 4 * USD))
        await cache.store.pool.execute("UPDATE ai_wallets SET balance = 5")
        await until(lambda: cache.balance_is(wallet, 5 * USD))


async def test_while_redis_fails_announcements_are_kept(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    wallet = await funded_wallet(cache.store, 100)
    key_id = await cache.make_key(wallet.user_id)
    await cache.mirror().push_keys([key_id])
    async with cache.mirroring():
        real: Callable[..., Awaitable[Any]] = cache.redis.execute_command
        failures = [RedisGone("gone")] * 3

        async def fails_at_first(*args: Any, **options: Any) -> Any:
            if failures and args[0] == "EVALSHA":
                raise failures.pop()
            return await real(*args, **options)

        monkeypatch.setattr(cache.redis, "execute_command", fails_at_first)
        await cache.store.pool.execute("DELETE FROM ai_api_keys")  # which no sweep would find
        await until(lambda: cache.key_is(key_id, active=0))
    assert failures == []


class OneAway(RedisStore):
    """Of two shards the first cannot be reached."""

    def __init__(self, redis: Redis) -> None:
        super().__init__(redis, 2)
        self.is_away, self.failed = True, asyncio.Event()
        self._put_wallet, self._put_key = self._partly(self._put_wallet), self._partly(self._put_key)

    def _partly(self, script: Any) -> Any:
        async def run(keys: list[str], args: list[Any]) -> Any:
            if self.is_away and "{0}" in keys[0]:
                self.failed.set()
                raise RedisGone("away")
            return await script(keys=keys, args=args)

        return run


async def test_a_shard_that_is_away_keeps_no_change_from_the_others(cache: Cache) -> None:
    """Neither one that the sweep finds nor one that is announced; and it has it too when it is back."""
    wallets: dict[int, WalletState] = {}
    while len(wallets) < 2:
        wallet = await funded_wallet(cache.store)
        wallets[shard_of(wallet.wallet_id, 2)] = wallet
    for shard, wallet in wallets.items():
        await cache_wallet(cache.redis, replace(wallet, balance_nanos=0, version=0), shard)
    redis_store = OneAway(cache.redis)
    stop, tasks = asyncio.Event(), TaskSet()
    mirror = StateMirror(redis_store, cache.store, cache.database_url, sweep_interval_s=NEVER_S)
    running = tasks.spawn(mirror.run(stop), name="mirror")

    async def has(shard: int, nanos: int) -> bool:
        return (await cached_wallet(cache.redis, wallets[shard], shard))["balance"] == nanos

    await asyncio.wait_for(redis_store.failed.wait(), 30)
    await until(lambda: has(1, 10 * USD))
    assert not mirror.has_swept
    for wallet in wallets.values():
        await cache.store.record(wallet.wallet_id, "bonus", 7, "while one is away")
    await until(lambda: has(1, 10 * USD + 7))
    assert await has(0, 0)
    redis_store.is_away = False
    await until(lambda: has(0, 10 * USD + 7))
    stop.set()
    await asyncio.wait_for(running, 30)
