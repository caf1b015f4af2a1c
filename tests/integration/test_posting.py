"""Posting and credits against a real Postgres, compared with wallets kept in plain Python."""

import asyncio
import random
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import pytest
from msgspec.structs import replace

from ledger.audit import audit
from ledger.corrections import CORRECT_USAGE
from ledger.entries import SettledEntry, WalletState
from ledger.errors import InsufficientFunds, InvalidAmount, WalletNotFound
from ledger.money import MAX_NANOS, from_decimal
from ledger.postgres import Store
from runtime.clock import wall_ms
from runtime.ids import new_request_id, time_of_ms
from runtime.postgres import create_pool
from runtime.sql import load_queries
from tests.support.ledger import USD, funded_wallet, settled


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[Store]:
    pool = await create_pool(database_url, max_size=10)
    yield Store(pool)
    await pool.close()


async def state(store: Store, wallet: WalletState) -> WalletState:
    (found,) = await store.wallet_states([wallet.wallet_id])
    return found


async def usage_row(store: Store, entry: SettledEntry) -> dict[str, Any]:
    row = await store.pool.fetchrow("SELECT * FROM ai_usage_logs WHERE id = $1", entry.entry.request_id)
    assert row is not None
    return dict(row)


async def test_a_request_becomes_a_usage_row_a_transaction_and_a_debit(store: Store) -> None:
    wallet = await funded_wallet(store, 10 * USD)
    entry = settled(wallet, 1_234_567_891, metadata={"client": "x"}, error_message="cut")
    outcome = await store.post([entry])
    assert (outcome.posted, outcome.duplicates, outcome.buried) == (1, 0, 0)
    assert outcome.wallets == (await state(store, wallet),)
    assert outcome.wallets[0].balance_nanos == 8_765_432_109
    row = await usage_row(store, entry)
    assert (from_decimal(row["cost"]), row["uncollected"], row["total_tokens"]) == (1_234_567_891, 0, 40)
    assert (row["metadata"], row["error_message"]) == ('{"client": "x"}', "cut")
    line = await store.pool.fetchrow("SELECT * FROM ai_transactions WHERE request_id = $1", entry.entry.request_id)
    assert line is not None
    assert (line["id"].version, time_of_ms(line["id"])) == (7, time_of_ms(entry.entry.request_id))
    assert line["id"] != entry.entry.request_id
    assert (line["seq"], line["type"], line["description"]) == (2, "usage", "usage: tiny")
    assert (from_decimal(line["amount"]), from_decimal(line["balance_after"])) == (-1_234_567_891, 8_765_432_109)


async def test_every_count_reaches_its_own_column(store: Store) -> None:
    wallet = await funded_wallet(store)
    counts = {
        "input_tokens": 1, "cached_input_tokens": 2, "cache_write_tokens": 4, "output_tokens": 8,
        "reasoning_tokens": 16, "audio_input_tokens": 32, "audio_output_tokens": 64, "images": 128, "audio_ms": 256,
    }  # fmt: skip
    entry = settled(wallet, 5, **counts)
    await store.post([entry])
    row = await usage_row(store, entry)
    assert {name: row[name] for name in counts} == counts
    assert row["total_tokens"] == 127  # images and milliseconds are no tokens
    assert await store.pool.fetchval("SELECT total_tokens FROM ai_usage_daily") == 127
    assert (await audit(store.pool)).holds


async def test_posting_again_changes_nothing(store: Store) -> None:
    wallet = await funded_wallet(store)
    batch = [settled(wallet, cost) for cost in (1, 2, 3)]
    await store.post(batch)
    before = await state(store, wallet)
    again = await store.post(batch + batch)
    assert (again.posted, again.duplicates) == (0, 6)
    assert await state(store, wallet) == before


async def test_one_request_twice_in_a_batch_is_posted_once(store: Store) -> None:
    wallet = await funded_wallet(store)
    entry = settled(wallet, 5)
    outcome = await store.post([entry, replace(entry, event_id="2-2"), settled(wallet, 7)])
    assert (outcome.posted, outcome.duplicates) == (2, 1)
    assert (await state(store, wallet)).balance_nanos == 10 * USD - 12


async def test_a_free_request_leaves_a_usage_row_and_no_transaction(store: Store) -> None:
    wallet = await funded_wallet(store)
    entry = settled(wallet, 0)
    assert (await store.post([entry])).posted == 1
    assert (await usage_row(store, entry))["cost"] == 0
    assert await state(store, wallet) == wallet


async def test_what_a_wallet_cannot_pay_is_uncollected_and_it_never_goes_below_its_overdraft(store: Store) -> None:
    wallet = await funded_wallet(store, 100)
    await store.pool.execute("UPDATE ai_wallets SET overdraft = 0.00000005")
    batch = [settled(wallet, 60, request_id=new_request_id(wall_ms() + n)) for n in range(4)]
    await store.post(batch)
    uncollected = [from_decimal((await usage_row(store, entry))["uncollected"]) for entry in batch]
    assert uncollected == [0, 0, 30, 60]
    assert (await state(store, wallet)).balance_nanos == -50
    assert (await audit(store.pool)).holds


async def test_what_is_collected_is_the_cost_whatever_the_charge_was(store: Store) -> None:
    """Redis may have known less than Postgres when it was charged."""
    wallet = await funded_wallet(store, 350)
    batch = [
        settled(wallet, 100, charge=charge, request_id=new_request_id(wall_ms() + n))
        for n, charge in enumerate((0, 30, 100, 0))
    ]
    await store.post(batch)
    assert [from_decimal((await usage_row(store, entry))["uncollected"]) for entry in batch] == [0, 0, 0, 50]
    assert (await state(store, wallet)).balance_nanos == 0
    assert (await audit(store.pool)).holds


@pytest.mark.parametrize("is_one_batch", [True, False])
async def test_a_settlement_sent_twice_is_paid_in_full_whichever_comes_first(store: Store, is_one_batch: bool) -> None:
    """What the second was charged is what the first left: nothing."""
    wallet = await funded_wallet(store, 100)
    first = settled(wallet, 70)
    second = replace(first, event_id="2-2", charge_nanos=30)
    for batch in [[second, first]] if is_one_batch else [[second], [first]]:
        await store.post(batch)
    assert (await usage_row(store, first))["uncollected"] == 0
    assert (await state(store, wallet)).balance_nanos == 30


def bad_entries(wallet: WalletState) -> list[SettledEntry]:
    nowhere = replace(wallet, wallet_id=uuid4())
    return [
        settled(nowhere),
        settled(wallet, user_id=uuid4()),
        settled(wallet, input_tokens=-1),
        settled(wallet, input_tokens=2**63),
        settled(wallet, -10),
        settled(wallet, response_time_ms=2**40),
        settled(wallet, usage_source="guessed"),
    ]


async def test_entries_that_cannot_be_posted_are_set_aside_and_the_others_posted(store: Store) -> None:
    wallet = await funded_wallet(store)
    bad = [replace(entry, event_id=f"9-{n}") for n, entry in enumerate(bad_entries(wallet))]
    good = [settled(wallet, 1) for _ in range(20)]
    batch = [*bad, *good]
    random.Random(1).shuffle(batch)
    for _ in range(2):  # delivered twice: set aside once
        outcome = await store.post(batch)
        assert outcome.buried == len(bad)
    assert (await state(store, wallet)).balance_nanos == 10 * USD - 20
    letters = await store.pool.fetch("SELECT event_id, payload, reason FROM farebox_dead_letters")
    assert sorted(row["event_id"] for row in letters) == [f"9-{n}" for n in range(len(bad))]
    assert all('"entry":' in row["payload"] and row["reason"] for row in letters)
    assert (await audit(store.pool)).broken == {"no_usage_was_set_aside": len(bad)}


async def test_no_text_a_client_can_send_makes_its_request_free(store: Store) -> None:
    wallet = await funded_wallet(store)
    entry = settled(
        wallet, 10, model="a\x00" + "b" * 5000, error_message="\x00" * 9000, metadata={"user\x00": "\x00", "n": 10**18}
    )  # fmt: skip
    outcome = await store.post([entry])
    assert (outcome.posted, outcome.buried) == (1, 0)
    assert (await state(store, wallet)).balance_nanos == 10 * USD - 10


async def test_eight_posters_with_overlapping_batches_post_each_request_once(store: Store) -> None:
    chance = random.Random(7)
    wallets = [await funded_wallet(store, 50_000) for _ in range(12)]
    every = [settled(chance.choice(wallets), chance.randrange(0, 3000)) for _ in range(600)]

    async def poster(seed: int) -> int:
        order = random.Random(seed)
        mine = order.sample(every, 450)
        return sum([(await store.post(mine[start : start + 90])).posted for start in range(0, 450, 90)])

    posted = sum(await asyncio.gather(*map(poster, range(8))))
    posted += (await store.post(every)).posted
    assert posted == len(every)
    report = await audit(store.pool)
    assert report.holds, report.violations
    for wallet in wallets:
        asked = sum(entry.entry.cost_nanos for entry in every if entry.entry.wallet_id == wallet.wallet_id)
        assert (await state(store, wallet)).balance_nanos == 50_000 - min(50_000, asked)


class Model:
    """A wallet in plain Python: what the balance should be, and how many lines its history should have."""

    def __init__(self) -> None:
        self.balance = self.overdraft = self.lines = 0

    def move(self, amount: int) -> None:
        self.balance += amount
        self.lines += amount != 0

    def charge(self, amount: int) -> None:
        self.move(-min(amount, max(0, self.balance + self.overdraft)))


@pytest.mark.parametrize("seed", range(6))
async def test_any_sequence_of_postings_and_credits_agrees_with_the_model(store: Store, seed: int) -> None:
    chance = random.Random(seed)
    wallets = {wallet.wallet_id: wallet for wallet in [await store.ensure_wallet(uuid4()) for _ in range(4)]}
    models = {wallet_id: Model() for wallet_id in wallets}
    posted: list[SettledEntry] = []
    for step in range(60):
        wallet_id = chance.choice(list(wallets))
        model = models[wallet_id]
        match chance.randrange(4):
            case 0:
                amount = chance.randrange(1, 5000)
                await store.record(wallet_id, "bonus", amount, "")
                model.move(amount)
            case 1:
                amount = chance.randrange(1, 3000)
                if model.balance - amount >= -model.overdraft:
                    await store.record(wallet_id, "refund", -amount, "")
                    model.move(-amount)
                else:
                    with pytest.raises(InsufficientFunds):
                        await store.record(wallet_id, "refund", -amount, "")
            case 2:
                target = chance.choice([model.balance, chance.randrange(0, 4000)])
                done = await store.set_balance(wallet_id, target, "")
                assert (done is None) == (target == model.balance)
                model.move(target - model.balance)
            case _:
                someone = [wallets[chance.choice(list(wallets))] for _ in range(chance.randrange(1, 8))]
                ids = [new_request_id(step) for _ in someone]
                batch = [settled(w, chance.randrange(0, 900), request_id=i) for w, i in zip(someone, ids, strict=True)]
                for entry in sorted(batch, key=lambda settled: settled.entry.request_id):
                    models[entry.entry.wallet_id].charge(entry.entry.cost_nanos)
                posted += batch
                await store.post([*batch, *chance.sample(posted, min(3, len(posted)))])
    for row in await store.pool.fetch("SELECT id, balance, transaction_count FROM ai_wallets"):
        model = models[row["id"]]
        assert (from_decimal(row["balance"]), row["transaction_count"]) == (model.balance, model.lines)
    report = await audit(store.pool)
    assert report.holds, report.violations


async def test_credits_in_their_own_words(store: Store) -> None:
    wallet = await store.ensure_wallet(uuid4())
    line = await store.record(wallet.wallet_id, "topup", 500, "card", {"session": "cs_1"})
    assert (line.seq, line.type, line.amount_nanos) == (1, "topup", 500)
    assert (line.balance_before_nanos, line.balance_after_nanos) == (0, 500)
    with pytest.raises(InvalidAmount):
        await store.record(wallet.wallet_id, "topup", MAX_NANOS, "")
    with pytest.raises(InvalidAmount):
        await store.record(wallet.wallet_id, "bonus", -1, "")
    with pytest.raises(WalletNotFound):
        await store.record(UUID(int=5), "bonus", 1, "")
    assert (await state(store, wallet)).balance_nanos == 500


async def test_concurrent_refunds_never_take_more_than_there_is(store: Store) -> None:
    wallet = await funded_wallet(store, 100)
    results = await asyncio.gather(
        *(store.record(wallet.wallet_id, "refund", -30, "") for _ in range(8)), return_exceptions=True
    )
    assert sum(isinstance(result, InsufficientFunds) for result in results) == 5
    assert (await state(store, wallet)).balance_nanos == 10


async def test_everyone_who_asks_at_once_gets_the_same_new_wallet(store: Store) -> None:
    user_id = uuid4()
    found = await asyncio.gather(*(store.ensure_wallet(user_id) for _ in range(10)))
    assert len({wallet.wallet_id for wallet in found}) == 1


async def test_a_key_is_noted_as_used_once_a_minute_and_never_waits(store: Store) -> None:
    wallet = await funded_wallet(store)
    key_id = await store.pool.fetchval(
        "INSERT INTO ai_api_keys (user_id, key_prefix, key_hash, name) VALUES ($1, 'pre', 'h', 'n') RETURNING id",
        wallet.user_id,
    )

    async def last_used_ms() -> int:
        epoch = "(extract(epoch FROM last_used_at) * 1000)::bigint"
        found: int = await store.pool.fetchval(f"SELECT {epoch} FROM ai_api_keys")
        return found

    def used(ms: int) -> SettledEntry:
        return settled(wallet, api_key_id=key_id, request_id=new_request_id(ms))

    start = wall_ms()
    await store.touch_keys([used(start - 5), used(start)])
    assert await last_used_ms() == start
    await store.touch_keys([used(start + 59_999)])
    assert await last_used_ms() == start
    async with store.pool.acquire() as other, other.transaction():
        await other.execute("SELECT FROM ai_api_keys FOR UPDATE")
        await asyncio.wait_for(store.touch_keys([used(start + 90_000)]), 5)
    assert await last_used_ms() == start
    await store.touch_keys([used(start + 90_000)])
    assert await last_used_ms() == start + 90_000
    await store.touch_keys([used(2**48 - 1)])  # later than a datetime can be
    assert (await store.pool.fetchval("SELECT extract(year FROM last_used_at)::int FROM ai_api_keys")) in (9999, 10000)
    (key,) = await store.keys_by_prefix(["pre", "other"])
    assert (key.key_id, key.wallet_id, key.key_hash) == (key_id, wallet.wallet_id, "h")


async def test_no_plan_reads_a_table_in_full_however_small_it_was_when_the_plan_was_made(store: Store) -> None:
    """A plan that is kept may be as old as the first batch after the installation."""
    queries = load_queries("ledger", "sql/posting.sql")
    async with store.pool.acquire() as connection, connection.transaction():
        await connection.execute(queries["begin_posting"])
        await connection.execute("SET LOCAL plan_cache_mode = force_generic_plan")
        for name, count in {"lock_wallets": 1, "states_after": 1, "post_usage": 23}.items():
            await connection.execute(f"PREPARE {name} AS {queries[name]}")
            plan = await connection.fetch(f"EXPLAIN EXECUTE {name} ({', '.join(['NULL'] * count)})")
            steps = "\n".join(row[0] for row in plan)
            assert "ai_wallets" in steps
            assert "Seq Scan" not in steps
            # each request is looked up by itself: a join may read the whole index
            assert ("SubPlan" in steps) is (name == "post_usage")


@pytest.mark.parametrize("upkeep", ["", "ANALYZE", "VACUUM ANALYZE"])
async def test_a_request_is_looked_up_by_the_primary_key_whatever_statistics_say(store: Store, upkeep: str) -> None:
    """With a partition analyzed while it was empty, every index that has a created_at would cost the same."""
    queries = {
        "post_usage": (load_queries("ledger", "sql/posting.sql")["post_usage"], 23, 1),
        "correct_usage": (CORRECT_USAGE, 24, 2),
    }
    partitions = await store.pool.fetch(
        "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'ai_usage_logs'::regclass"
    )
    assert len(partitions) > 1
    for (partition,) in partitions if upkeep else ():
        await store.pool.execute(f"{upkeep} {partition}")
    async with store.pool.acquire() as connection, connection.transaction():
        await connection.execute(load_queries("ledger", "sql/posting.sql")["begin_posting"])
        for name, (sql, count, looks) in queries.items():
            await connection.execute(f"PREPARE {name} AS {sql}")
            plan = await connection.fetch(f"EXPLAIN EXECUTE {name} ({', '.join(['NULL'] * count)})")
            scans = [row[0] for row in plan if " on ai_usage_logs_" in row[0] and "Scan" in row[0]]
            assert len(scans) == looks * len(partitions), name
            assert [scan for scan in scans if "_pkey on " not in scan] == [], name
