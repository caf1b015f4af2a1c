"""What only some keys have, on real servers: lists, tokens per minute, requests at once, budgets, being frozen."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import pytest
from msgspec.structs import replace
from redis.asyncio import Redis

from ledger.balances import StateMirror
from ledger.entries import KeyLimits, KeySpent, KeyState, WalletState
from ledger.postgres import Store
from ledger.redis_schema import key_state_key
from ledger.redis_store import RedisStore
from metering.admission import Admission, Decision, Limits
from metering.bucket import DAY_MS
from metering.budget import day_at, month_of
from metering.policy import Refused, Use
from metering.verdict import Outcome
from proxy import redis_client
from runtime.clock import wall_ms
from runtime.ids import new_request_id
from runtime.postgres import create_pool
from tests.support.ledger import USD, funded_wallet, settled
from tests.support.limits import BOUND_S, KEY, TIMEOUT_S, WALLET, Postgres, asking, ended

USE = Use("tiny", "/v1/chat/completions", "192.0.2.7")


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    client = redis_client.connect(redis_url, TIMEOUT_S)
    yield client
    await client.aclose()


async def limits_for(redis: Redis, **changes: Any) -> Limits:
    """With a key that has these, and its wallet, known."""
    postgres = Postgres(redis, [WALLET], [replace(KEY, **changes)])
    await postgres.push_wallets([WALLET.wallet_id])
    await postgres.push_keys([KEY.key_id])
    return Limits(redis, postgres)


async def put(redis: Redis, version: int, **changes: Any) -> None:
    assert await RedisStore(redis).put_keys([replace(KEY, version=version, **changes)]) == 1


def spent_now(nanos: int) -> KeySpent:
    today = day_at(wall_ms())
    return KeySpent(today, month_of(today), nanos, nanos, nanos)


async def key_hash(redis: Redis, key_id: UUID = KEY.key_id) -> dict[str, str]:
    found: dict[Any, Any] = await redis.hgetall(key_state_key(0, key_id))
    return {name.decode("latin-1"): value.decode() for name, value in found.items()}


async def outcomes(limits: Limits, *requests: Admission) -> list[Outcome]:
    return [decision.outcome for decision in await asyncio.gather(*map(limits.admit, requests))]


async def test_a_changed_list_is_felt_on_the_very_next_request_of_every_process(redis: Redis) -> None:
    allowed, refused = '{"models":["tiny"]}', '{"models":["large"]}'
    first = await limits_for(redis, policy=allowed)
    both = [first, Limits(redis, Postgres(redis))]
    for version, policy, expected in [
        (2, refused, Outcome.POLICY_REFUSED),
        (3, allowed, Outcome.ADMITTED),
        (4, '{"routes":[]}', Outcome.POLICY_REFUSED),
        (5, "", Outcome.ADMITTED),
        (6, '{"ips":["10.0.0.0/8"]}', Outcome.POLICY_REFUSED),
    ]:
        await put(redis, version, policy=policy)
        for limits in both:
            assert await outcomes(limits, replace(asking(1), use=USE)) == [expected], policy
    assert (await both[0].admit(replace(asking(1), use=USE))).refused is Refused.IP


async def test_many_requests_of_a_key_whose_list_is_not_known_here_are_judged_by_it(redis: Redis) -> None:
    limits = await limits_for(redis, policy='{"models":["tiny"]}')
    both = [replace(asking(1), use=use) for use in (USE, Use("large")) for _ in range(50)]
    assert await outcomes(limits, *both) == [Outcome.ADMITTED] * 50 + [Outcome.POLICY_REFUSED] * 50


async def test_a_revoked_key_is_revoked_whatever_its_list_says(redis: Redis) -> None:
    limits = await limits_for(redis, policy='{"models":[]}', is_active=False, is_frozen=True)
    assert await outcomes(limits, replace(asking(1), use=USE)) == [Outcome.KEY_REFUSED]


async def test_frozen_keys_and_wallets_are_refused_and_what_runs_is_settled(redis: Redis) -> None:
    limits = await limits_for(redis)
    running = asking(100)
    assert await outcomes(limits, running) == [Outcome.ADMITTED]
    await RedisStore(redis).put_wallets([replace(WALLET, version=2, is_frozen=True)])
    assert await outcomes(limits, asking(1)) == [Outcome.WALLET_FROZEN]
    await put(redis, 2, is_frozen=True)
    assert await outcomes(limits, asking(1)) == [Outcome.KEY_FROZEN]
    assert await limits.settle(ended(running, 60)) == 60
    await put(redis, 3)
    await RedisStore(redis).put_wallets([replace(WALLET, version=3)])
    assert await outcomes(limits, asking(1)) == [Outcome.ADMITTED]


async def test_no_more_than_so_many_run_at_once(redis: Redis) -> None:
    limits = await limits_for(redis, limits=KeyLimits(max_concurrent_requests=3))
    requests = [asking(1) for _ in range(20)]
    found = await outcomes(limits, *requests)
    assert (found.count(Outcome.ADMITTED), found.count(Outcome.TOO_MANY_OPEN)) == (3, 17)
    running = [request for request, outcome in zip(requests, found, strict=True) if outcome is Outcome.ADMITTED]
    await limits.settle(ended(running[0], 1))
    await limits.settle(ended(running[0], 1))
    limits.release(running[1])
    assert await limits.drain(BOUND_S) == 0
    again = Limits(redis, Postgres(redis))
    found = await outcomes(again, *(asking(1) for _ in range(5)))
    assert found.count(Outcome.ADMITTED) == 2


async def test_a_key_with_open_requests_does_not_lapse_and_then_does(redis: Redis) -> None:
    limits = await limits_for(redis, limits=KeyLimits(max_concurrent_requests=1))
    name = key_state_key(0, KEY.key_id)
    assert await redis.pttl(name) > 0
    request = asking(1)
    await limits.admit(request)
    assert await redis.pttl(name) == -1
    await put(redis, 2, limits=KeyLimits(max_concurrent_requests=2))
    assert await redis.pttl(name) == -1
    await limits.settle(ended(request, 1))
    assert 0 < await redis.pttl(name) <= 2 * DAY_MS
    assert (await key_hash(redis))["open"] == "0"


async def test_a_key_without_limits_keeps_no_note_of_its_requests(redis: Redis) -> None:
    limits = await limits_for(redis)
    before = await key_hash(redis)
    await limits.admit(asking(1))
    assert set(await key_hash(redis)) - set(before) == {"rpm_level", "rpd_level", "buckets_ms"}
    assert set(before) == {"active", "expires_ms", "rpm", "rpd", "version"}


async def test_tokens_are_taken_as_the_bound_and_given_back_as_what_was_not_used(redis: Redis) -> None:
    limits = await limits_for(redis, limits=KeyLimits(tokens_per_minute=1_000))
    request = replace(asking(1), tokens=700)
    decision = await limits.admit(request)
    assert decision.tokens is not None and decision.tokens.remaining == 300
    over = await limits.admit(replace(asking(1), tokens=700))
    assert over.outcome is Outcome.OVER_TOKENS and over.tokens is not None
    assert 0 < over.tokens.has_in_ms(700) <= 24_000
    await limits.settle(replace(ended(request, 1), tokens=100))
    assert await outcomes(limits, replace(asking(1), tokens=700)) == [Outcome.ADMITTED]


async def test_a_budget_is_never_overspent_by_many_at_once(redis: Redis) -> None:
    limits = await limits_for(redis, limits=KeyLimits(budget_month_nanos=100), spent=spent_now(30))
    requests = [asking(10) for _ in range(50)]
    found = await outcomes(limits, *requests)
    assert (found.count(Outcome.ADMITTED), found.count(Outcome.OVER_BUDGET_MONTH)) == (7, 43)
    last = await limits.admit(asking(10))
    assert (last.outcome, last.available_nanos) == (Outcome.OVER_BUDGET_MONTH, 0)


@dataclass
class Books:
    """A key of a wallet in Postgres, and what brings it to Redis."""

    store: Store
    redis: Redis
    mirror: StateMirror
    wallet: WalletState
    key_id: UUID

    @property
    def limits(self) -> Limits:
        return Limits(self.redis, self.mirror)

    async def set(self, **columns: Any) -> None:
        """As an operator would in SQL; then pushed."""
        for name, value in columns.items():
            await self.store.pool.execute(f"UPDATE ai_api_keys SET {name} = $2 WHERE id = $1", self.key_id, value)
        await self.mirror.push_keys([self.key_id])

    async def spend(self, nanos: int, days_ago: int = 0) -> None:
        request_id = new_request_id(wall_ms() - days_ago * DAY_MS)
        entry = settled(self.wallet, nanos, request_id=request_id, api_key_id=self.key_id, model=f"m{nanos}")
        await self.store.post([entry])

    async def ask(self, hold_nanos: int) -> Decision:
        return await self.limits.admit(Admission(uuid4(), self.key_id, self.wallet.wallet_id, hold_nanos))

    async def state(self) -> KeyState:
        (state,) = await self.store.key_states([self.key_id])
        return state


@pytest.fixture
async def books(database_url: str, redis: Redis) -> AsyncIterator[Books]:
    pool = await create_pool(database_url)
    store = Store(pool)
    wallet = await funded_wallet(store, 10 * USD)
    insert = "INSERT INTO ai_api_keys (user_id, key_prefix, key_hash, name) VALUES ($1, 'p', 'h', 'n') RETURNING id"
    key_id = await pool.fetchval(insert, wallet.user_id)
    yield Books(store, redis, StateMirror(RedisStore(redis), store, database_url), wallet, UUID(str(key_id)))
    await pool.close()


async def test_what_was_posted_is_where_a_budget_begins(books: Books) -> None:
    """Another key's spending and other days' do not count where they do not belong."""
    other = books.key_id
    await books.spend(100)
    await books.spend(7)
    await books.spend(1_000, days_ago=40)
    books.key_id = uuid4()
    await books.spend(5_000)
    books.key_id = other
    assert (await books.state()).spent.total_nanos == 0, "without a budget nobody adds up"
    await books.set(budget_daily=1)
    spent = (await books.state()).spent
    today = day_at(wall_ms())
    assert (spent.day_nanos, spent.month_nanos, spent.total_nanos) == (107, 107, 1_107)
    assert (spent.day, spent.month) == (today, month_of(today))


@pytest.mark.parametrize(
    ("column", "outcome"),
    [
        ("budget_daily", Outcome.OVER_BUDGET_DAY),
        ("budget_monthly", Outcome.OVER_BUDGET_MONTH),
        ("budget_total", Outcome.OVER_BUDGET_TOTAL),
    ],
)
async def test_each_budget_refuses_what_does_not_fit(books: Books, column: str, outcome: Outcome) -> None:
    await books.spend(400)
    await books.set(**{column: "0.000001"})
    refused = await books.ask(601)
    assert (refused.outcome, refused.available_nanos) == (outcome, 600)
    assert (await books.ask(600)).outcome is Outcome.ADMITTED
    assert (await books.ask(1)).outcome is outcome


async def test_what_was_counted_survives_changes_of_the_key_and_a_second_load(books: Books) -> None:
    await books.set(budget_total="0.000001")
    assert (await books.ask(900)).outcome is Outcome.ADMITTED
    await books.spend(50)
    await books.set(name="renamed")
    assert (await books.ask(101)).outcome is Outcome.OVER_BUDGET_TOTAL
    assert (await books.ask(100)).outcome is Outcome.ADMITTED


async def test_an_emptied_redis_begins_with_what_was_posted(books: Books) -> None:
    await books.set(budget_total="0.000001")
    limits, request = books.limits, Admission(uuid4(), books.key_id, books.wallet.wallet_id, 500)
    assert (await limits.admit(request)).outcome is Outcome.ADMITTED
    await books.spend(300)
    await books.redis.flushall()
    assert (await books.ask(700)).outcome is Outcome.ADMITTED
    # neither the hold nor the note is there any more, and nothing is taken off for them
    await limits.settle(ended(request, 500))
    assert (await key_hash(books.redis, books.key_id))["used_total"] == "1000"


async def test_a_budget_set_while_requests_run_counts_what_they_come_to(books: Books) -> None:
    await books.set(name="known to Redis")
    limits, request = books.limits, Admission(uuid4(), books.key_id, books.wallet.wallet_id, 500)
    assert (await limits.admit(request)).outcome is Outcome.ADMITTED
    await books.set(budget_total="0.000001")
    await limits.settle(ended(request, 400))
    await limits.settle(ended(request, 400))
    assert (await books.ask(601)).outcome is Outcome.OVER_BUDGET_TOTAL
    assert (await books.ask(600)).outcome is Outcome.ADMITTED


async def test_every_column_travels_to_redis(books: Books) -> None:
    await books.set(
        allowed_models=["a*"],
        allowed_routes=["/v1/x"],
        allowed_ips=["10.0.0.0/8"],
        tokens_per_minute=5,
        max_concurrent_requests=6,
        budget_daily="0.1",
        budget_monthly="0.2",
        budget_total="0.3",
        is_frozen=True,
    )
    found = await key_hash(books.redis, books.key_id)
    assert found["policy"] == '{"models":["a*"],"routes":["/v1/x"],"ips":["10.0.0.0/8"]}'
    assert {name: found[name] for name in ("frozen", "limited", "tpm", "max_open", "used_total", "version")} == {
        "frozen": "1", "limited": "1", "tpm": "5", "max_open": "6", "used_total": "0", "version": "10"
    }  # fmt: skip
    assert [found[f"budget_{period}"] for period in ("day", "month", "total")] == [
        "100000000",
        "200000000",
        "300000000",
    ]
    for column in ("allowed_models", "allowed_routes", "allowed_ips", "tokens_per_minute", "max_concurrent_requests"):
        await books.set(**{column: None})
    await books.set(budget_daily=None, budget_monthly=None, budget_total=None, is_frozen=False)
    found = await key_hash(books.redis, books.key_id)
    assert set(found) & {"policy", "policy_id", "frozen", "limited", "tpm", "max_open", "used_total"} == set()
