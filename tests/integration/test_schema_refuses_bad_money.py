"""What Postgres itself refuses, whoever writes it."""

from collections.abc import AsyncIterator
from typing import TypeAlias
from uuid import UUID

import asyncpg
import pytest

from runtime.clock import wall_ms
from runtime.ids import new_request_id

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
OWNER = UUID(int=1)
ID = new_request_id(wall_ms())

USAGE = {
    "id": f"'{ID}'",
    "user_id": f"'{OWNER}'",
    "wallet_id": f"'{OWNER}'",
    "api_key_id": f"'{OWNER}'",
    "model": "'m'",
    "endpoint": "'/'",
    "input_tokens": "5",
    "output_tokens": "7",
    "total_tokens": "12",
    "cost": "0.5",
    "status_code": "200",
    "response_time_ms": "1",
    "created_at": f"farebox_uuid7_time('{ID}')",
}
LINE = {
    "user_id": f"'{OWNER}'",
    "wallet_id": f"'{OWNER}'",
    "seq": "1",
    "amount": "1",
    "type": "'bonus'",
    "balance_before": "0",
    "balance_after": "1",
}
PRICE = {"model": "'m'", "input_price_per_1k_tokens": "0.1", "output_price_per_1k_tokens": "0.1"}


@pytest.fixture
async def connection(database_url: str) -> AsyncIterator[Connection]:
    connection = await asyncpg.connect(database_url)
    await connection.execute("INSERT INTO ai_wallets (id, user_id, overdraft) VALUES ($1, $1, 2)", OWNER)
    yield connection
    await connection.close()


async def insert(connection: Connection, table: str, columns: dict[str, str]) -> None:
    await connection.execute(f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join(columns.values())})")


async def test_proper_rows_are_taken(connection: Connection) -> None:
    await insert(connection, "ai_usage_logs", USAGE)
    await insert(connection, "ai_transactions", LINE)
    await insert(connection, "ai_pricing", PRICE)


@pytest.mark.parametrize(
    ("change", "constraint"),
    [
        ("balance = -2.000000001", "balance_in_range"),
        ("balance = 9000000.000000001", "balance_in_range"),
        ("balance = 'NaN'", "balance_in_range"),
        ("overdraft = 'NaN'", "overdraft_in_range"),
        ("overdraft = -1", "overdraft_in_range"),
        ("overdraft = 9000001", "overdraft_in_range"),
        ("currency = 'EUR'", "currency_is_usd"),
        ("transaction_count = -1", "transaction_count_not_negative"),
    ],
)
async def test_a_wallet_out_of_bounds(connection: Connection, change: str, constraint: str) -> None:
    with pytest.raises(asyncpg.CheckViolationError) as refused:
        await connection.execute(f"UPDATE ai_wallets SET {change}")
    assert refused.value.constraint_name in (constraint, "balance_in_range")


@pytest.mark.parametrize(
    ("change", "constraint"),
    [
        ("allowed_models = array_fill('m'::text, ARRAY[201])", "allowed_models_bounded"),
        ("allowed_models = ARRAY[repeat('m', 20001)]", "allowed_models_bounded"),
        ("allowed_models = ARRAY['m', NULL]", "allowed_models_bounded"),
        ("allowed_routes = array_fill('/'::text, ARRAY[201])", "allowed_routes_bounded"),
        ("allowed_routes = ARRAY[NULL]", "allowed_routes_bounded"),
        ("allowed_ips = array_fill('::1'::cidr, ARRAY[201])", "allowed_ips_bounded"),
        ("allowed_ips = ARRAY[NULL]::cidr[]", "allowed_ips_bounded"),
        ("tokens_per_minute = -1", "tokens_per_minute_in_range"),
        ("tokens_per_minute = 100000001", "tokens_per_minute_in_range"),
        ("max_concurrent_requests = -1", "max_concurrent_requests_in_range"),
        ("max_concurrent_requests = 100001", "max_concurrent_requests_in_range"),
        ("budget_daily = 'NaN'", "budget_daily_in_range"),
        ("budget_daily = -0.000000001", "budget_daily_in_range"),
        ("budget_monthly = 9000000.000000001", "budget_monthly_in_range"),
        ("budget_total = 'NaN'", "budget_total_in_range"),
        ("rotated_from = id", "not_rotated_from_itself"),
    ],
)
async def test_a_key_out_of_bounds(connection: Connection, change: str, constraint: str) -> None:
    await connection.execute(
        "INSERT INTO ai_api_keys (user_id, key_prefix, key_hash, name) VALUES ($1, 'p', 'h', 'n')", OWNER
    )
    with pytest.raises(asyncpg.CheckViolationError) as refused:
        await connection.execute(f"UPDATE ai_api_keys SET {change}")
    assert refused.value.constraint_name == constraint


async def test_infinite_money(connection: Connection) -> None:
    with pytest.raises(asyncpg.NumericValueOutOfRangeError):
        await connection.execute("UPDATE ai_wallets SET balance = 'Infinity'")


@pytest.mark.parametrize(
    ("changes", "constraint"),
    [
        ({"cost": "-0.1"}, "cost_in_range"),
        ({"cost": "'NaN'"}, "cost_in_range"),
        ({"uncollected": "0.6"}, "uncollected_within_cost"),
        ({"uncollected": "-0.1"}, "uncollected_within_cost"),
        ({"uncollected": "'NaN'"}, "uncollected_within_cost"),
        ({"input_tokens": "-5", "total_tokens": "2"}, "input_tokens_not_negative"),
        ({"reasoning_tokens": "-1", "total_tokens": "11"}, "reasoning_tokens_not_negative"),
        ({"total_tokens": "13"}, "total_is_the_sum_of_buckets"),
        ({"cached_input_tokens": "1"}, "total_is_the_sum_of_buckets"),
        ({"audio_input_tokens": "1"}, "total_is_the_sum_of_buckets"),
        ({"audio_output_tokens": "1"}, "total_is_the_sum_of_buckets"),
        ({"audio_input_tokens": "-1", "total_tokens": "11"}, "audio_input_tokens_not_negative"),
        ({"audio_output_tokens": "-1", "total_tokens": "11"}, "audio_output_tokens_not_negative"),
        ({"images": "-1"}, "images_not_negative"),
        ({"audio_ms": "-1"}, "audio_ms_not_negative"),
        ({"usage_source": "'guessed'"}, "usage_source_known"),
        ({"created_at": "now() - interval '1 day'"}, "created_when_its_id_was"),
    ],
)
async def test_a_usage_row_that_cannot_be(connection: Connection, changes: dict[str, str], constraint: str) -> None:
    with pytest.raises(asyncpg.CheckViolationError) as refused:
        await insert(connection, "ai_usage_logs", {**USAGE, **changes})
    assert refused.value.constraint_name == constraint


async def test_a_request_id_twice(connection: Connection) -> None:
    await insert(connection, "ai_usage_logs", USAGE)
    with pytest.raises(asyncpg.UniqueViolationError):
        await insert(connection, "ai_usage_logs", {**USAGE, "model": "'other'"})


@pytest.mark.parametrize("table", ["ai_usage_logs", "ai_transactions"])
async def test_a_row_of_a_user_that_does_not_own_the_wallet(connection: Connection, table: str) -> None:
    row = USAGE if table == "ai_usage_logs" else LINE
    with pytest.raises(asyncpg.ForeignKeyViolationError):
        await insert(connection, table, {**row, "user_id": f"'{UUID(int=2)}'"})


@pytest.mark.parametrize(
    ("changes", "constraint"),
    [
        ({"amount": "2"}, "balance_follows"),
        ({"amount": "'NaN'", "balance_after": "'NaN'"}, "amount_in_range"),
        ({"balance_before": "9000000", "balance_after": "9000001"}, "balances_in_range"),
        ({"type": "'gift'"}, "sign_fits_type"),
        ({"type": "'usage'", "request_id": f"'{ID}'"}, "sign_fits_type"),
        ({"amount": "-1", "balance_before": "1", "balance_after": "0"}, "sign_fits_type"),
        ({"type": "'adjustment'", "amount": "0", "balance_after": "0"}, "sign_fits_type"),
        ({"request_id": f"'{ID}'"}, "usage_names_its_request"),
        ({"seq": "0"}, "seq_from_one"),
    ],
)
async def test_a_transaction_that_cannot_be(connection: Connection, changes: dict[str, str], constraint: str) -> None:
    with pytest.raises(asyncpg.CheckViolationError) as refused:
        await insert(connection, "ai_transactions", {**LINE, **changes})
    assert refused.value.constraint_name == constraint


@pytest.mark.parametrize(
    "rewriting",
    ["UPDATE ai_transactions SET amount = 2", "DELETE FROM ai_transactions", "TRUNCATE ai_transactions CASCADE"],
)
async def test_history_is_not_rewritten(connection: Connection, rewriting: str) -> None:
    await insert(connection, "ai_transactions", LINE)
    with pytest.raises(asyncpg.RestrictViolationError, match="append-only"):
        await connection.execute(rewriting)


@pytest.mark.parametrize(
    "column",
    [
        "input_price_per_1k_tokens",
        "output_price_per_1k_tokens",
        "cached_input_price_per_1k_tokens",
        "cache_write_price_per_1k_tokens",
        "reasoning_price_per_1k_tokens",
        "audio_input_price_per_1k_tokens",
        "audio_output_price_per_1k_tokens",
        "image_price",
        "audio_minute_price",
        "base_request_fee",
    ],
)
@pytest.mark.parametrize("price", ["-0.000000001", "'NaN'", "9000001"])
async def test_a_price_out_of_bounds(connection: Connection, column: str, price: str) -> None:
    with pytest.raises(asyncpg.CheckViolationError):
        await insert(connection, "ai_pricing", {**PRICE, column: price})


async def test_every_change_of_a_wallet_raises_its_version(connection: Connection) -> None:
    await connection.execute("UPDATE ai_wallets SET version = 1, stripe_customer_id = 'cus_1'")
    await connection.execute("UPDATE ai_wallets SET balance = 1")
    assert await connection.fetchval("SELECT version FROM ai_wallets") == 3


async def test_a_key_made_by_hand_has_a_wallet_and_its_use_changes_no_version(connection: Connection) -> None:
    key = {"user_id": f"'{ID}'", "key_prefix": "'p'", "key_hash": "'h'", "name": "'n'"}
    await insert(connection, "ai_api_keys", key)
    assert await connection.fetchval("SELECT balance FROM ai_wallets WHERE user_id = $1", ID) == 0
    await connection.execute("UPDATE ai_api_keys SET last_used_at = now()")
    assert await connection.fetchval("SELECT version FROM ai_api_keys") == 1
    await connection.execute("UPDATE ai_api_keys SET is_active = false")
    assert await connection.fetchval("SELECT version FROM ai_api_keys") == 2
