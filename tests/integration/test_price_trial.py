"""Past usage at other prices: SQL and metering/pricing.py agree to the nano-dollar, over every kind of price."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterable
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
import yaml
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from accounts.price_trial import Trial, each_user_and_model, try_prices
from accounts.rates import Rates
from ledger.entries import SettledEntry
from ledger.money import MAX_NANOS
from ledger.postgres import Store
from metering.pricing import Price, cost_nanos
from metering.usage import Usage
from proxy.cli.prices import prices
from runtime.clock import wall_ms
from runtime.ids import new_request_id
from runtime.postgres import Pool, create_pool
from tests.support.ledger import USD, funded_wallet, usage_entry

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
nanos = st.one_of(st.integers(0, 5000), st.integers(0, MAX_NANOS))
left_open = st.one_of(st.none(), nanos)
rates = st.builds(Rates, nanos, nanos, *[left_open] * 7, nanos)
# Some so that halves of a nano-dollar come up, some so that 64 bits are not enough.
counts = st.one_of(st.integers(0, 10), st.integers(0, 10**12))
usages = st.builds(Usage, *[counts] * 9)


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[Pool]:
    pool = await create_pool(database_url)
    yield pool
    await pool.close()


def python_says(usage: Usage, rates: Rates) -> int:
    price = Price(UUID(int=1), "m", 0, **asdict(rates.resolved()))
    return min(cost_nanos(usage, price), MAX_NANOS)


def moment(ms: int) -> datetime:
    return datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=ms)


def examples() -> list[tuple[Usage, Rates]]:
    """What Hypothesis makes of both, so that Postgres is asked once for all of them."""
    found: list[tuple[Usage, Rates]] = []

    @settings(max_examples=300)
    @given(usages, rates)
    def collect(usage: Usage, asked: Rates) -> None:
        found.append((usage, asked))

    collect()
    # exactly a half, and the nearest below it
    found += [(Usage(input_tokens=1), Rates(nanos, 0)) for nanos in (499, 500, 501, 1499, 1500)]
    found += [(Usage(audio_ms=1), Rates(0, 0, audio_minute_nanos=nanos)) for nanos in (29_999, 30_000, 30_001)]
    return found


async def insert(pool: Pool, user: Any, rows: Iterable[tuple[str, Usage, int]]) -> None:
    """Usage rows as the ledger writes them, without their debits."""
    query = """INSERT INTO ai_usage_logs (id, user_id, api_key_id, wallet_id, model, endpoint, input_tokens,
        cached_input_tokens, cache_write_tokens, output_tokens, reasoning_tokens, audio_input_tokens,
        audio_output_tokens, images, audio_ms, total_tokens, cost, usage_source, status_code, response_time_ms,
        created_at)
        VALUES ($1, $2, $2, $3, $4, '/v1', $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, 'reported', 200, 1,
        farebox_uuid7_time($1))"""
    lines = [
        (
            new_request_id(wall_ms()), user.user_id, user.wallet_id, model, usage.input_tokens,
            usage.cached_input_tokens, usage.cache_write_tokens, usage.output_tokens, usage.reasoning_tokens,
            usage.audio_input_tokens, usage.audio_output_tokens, usage.images, usage.audio_ms, usage.total_tokens,
            Decimal(cost) / USD,
        )
        for model, usage, cost in rows
    ]  # fmt: skip
    await pool.executemany(query, lines)


async def test_sql_and_python_agree_on_every_row(pool: Pool) -> None:
    user = await funded_wallet(Store(pool))
    pairs = examples()
    assert len(pairs) > 100
    models = {f"model-{number}": pair for number, pair in enumerate(pairs)}
    await insert(pool, user, [(model, usage, 7) for model, (usage, _) in models.items()])
    trial = Trial(LONG_AGO, None, {model: asked for model, (_, asked) in models.items()})
    outcome = await try_prices(pool, trial)
    said = {row.model: row.would_be_nanos for row in outcome.models}
    assert said == {model: python_says(usage, asked) for model, (usage, asked) in models.items()}
    assert outcome.total.charged_nanos == 7 * len(pairs)
    assert outcome.total.would_be_nanos == sum(said.values())
    (everything,) = outcome.users
    assert (everything.user_id, everything.would_be_nanos) == (user.user_id, sum(said.values()))


async def test_each_row_is_rounded_by_itself_as_it_was_charged(pool: Pool) -> None:
    user = await funded_wallet(Store(pool))
    await insert(pool, user, [("m", Usage(input_tokens=1), 0)] * 5)
    outcome = await try_prices(pool, Trial(LONG_AGO, None, {"m": Rates(500, 0)}))
    assert outcome.total.would_be_nanos == 5  # and not 2 or 3, the half of it


async def test_who_pays_what_and_what_stays_as_it_was(pool: Pool) -> None:
    store = Store(pool)
    ann, bob = await funded_wallet(store), await funded_wallet(store)
    tokens = {"input_tokens": 1000, "cached_input_tokens": 0, "cache_write_tokens": 0, "reasoning_tokens": 0}
    tokens |= {"output_tokens": 0}

    async def post(wallet: Any, cost: int, **changes: Any) -> None:
        await store.post([SettledEntry("1-1", usage_entry(wallet, cost, **tokens | changes), cost)])

    await post(ann, 100)
    await post(ann, 100)
    await post(ann, 40, model="other")
    await post(bob, 100)
    # refused by the upstream: recorded, free, and free at any price
    await post(bob, 0, usage_source="none", end_reason="upstream_error", status_code=502)
    before = await pool.fetch("SELECT * FROM ai_usage_logs ORDER BY id")
    trial = Trial(LONG_AGO, None, {"tiny": Rates(30, 0, request_fee_nanos=1), "never used": Rates(5, 5)})
    outcome = await try_prices(pool, trial)
    assert [(row.model, row.requests, row.charged_nanos, row.would_be_nanos) for row in outcome.models] == [
        ("other", 1, 40, 40),
        ("tiny", 4, 300, 93),
    ]
    assert (outcome.total.requests, outcome.total.difference_nanos) == (5, -207)
    assert [(row.user_id, row.difference_nanos) for row in outcome.users] == [(ann.user_id, -138), (bob.user_id, -69)]
    assert [row.user_id for row in (await try_prices(pool, trial, users=1)).users] == [ann.user_id]
    assert (await try_prices(pool, trial, users=0)).users == []
    pairs = [row async for page in each_user_and_model(pool, trial) for row in page]
    assert {(row.user_id, row.model, row.charged_nanos, row.would_be_nanos) for row in pairs} == {
        (ann.user_id, "other", 40, 40),
        (ann.user_id, "tiny", 200, 62),
        (bob.user_id, "tiny", 100, 31),
    }
    only = await try_prices(pool, Trial(LONG_AGO, None, trial.rates, bob.user_id))
    assert (only.total.requests, only.total.would_be_nanos) == (2, 31)
    assert await pool.fetch("SELECT * FROM ai_usage_logs ORDER BY id") == before


async def test_only_what_began_in_the_time_counts(pool: Pool) -> None:
    store = Store(pool)
    user = await funded_wallet(store)
    now_ms = wall_ms()
    for age_ms in (0, 10_000, 20_000):
        entry = usage_entry(user, 100, request_id=new_request_id(now_ms - age_ms))
        await store.post([SettledEntry("1-1", entry, 100)])

    async def requests(from_ms: int, to_ms: int | None) -> int:
        until = None if to_ms is None else moment(to_ms)
        return (await try_prices(pool, Trial(moment(from_ms), until, {"tiny": Rates(1, 1)}))).total.requests

    assert await requests(now_ms - 20_000, None) == 3
    assert await requests(now_ms - 19_999, None) == 2
    assert await requests(now_ms - 20_000, now_ms - 10_000) == 1
    assert await requests(now_ms + 1, None) == 0


async def test_no_usage_at_all(pool: Pool) -> None:
    trial = Trial(LONG_AGO, None, {"tiny": Rates(1, 1)}, uuid4())
    outcome = await try_prices(pool, trial)
    assert (outcome.models, outcome.users, outcome.total.requests) == ([], [], 0)
    assert [page async for page in each_user_and_model(pool, trial)] == []


async def test_the_command_prints_tables_json_and_csv(pool: Pool, database_url: str, tmp_path: Path) -> None:
    user = await funded_wallet(Store(pool))
    await insert(pool, user, [("=tiny", Usage(input_tokens=1000), 10), ("other", Usage(), 5)])
    config = tmp_path / "config.yaml"
    config.write_text(yaml.safe_dump({"database": {"url": database_url}}))
    prices_file = tmp_path / "prices.yaml"
    prices_file.write_text("models: {=tiny: {input: 0.000000003, output: 0}}")

    async def typed(*arguments: str) -> str:
        command = ["try", "--since", "2020-01-01", *arguments, "--config", str(config)]
        ended = await asyncio.to_thread(CliRunner().invoke, prices, command)
        assert ended.exit_code == 0, ended.output
        return ended.output

    one = ("--model", "=tiny", "--input", "0.000000003", "--output", "0")
    assert await typed(*one, "--json") == await typed("--file", str(prices_file), "--json")
    said = json.loads(await typed(*one, "--json"), parse_float=Decimal)
    assert said["total"]["difference"] == Decimal("-0.000000007")
    assert [(row["model"], row["is_priced"]) for row in said["models"]] == [("=tiny", True), ("other", False)]
    assert [row["user_id"] for row in said["users"]] == [str(user.user_id)]
    assert "all models" in await typed(*one)
    assert (await typed(*one, "--csv")).splitlines() == [
        "user_id,model,requests,charged,would_be,difference",
        f"{user.user_id},'=tiny,1,0.00000001,0.000000003,-0.000000007",
        f"{user.user_id},other,1,0.000000005,0.000000005,0",
    ]
