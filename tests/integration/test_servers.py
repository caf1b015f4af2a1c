"""The shared fixtures: each test has its own database, migrated, and an empty Valkey."""

import asyncpg
import pytest
from redis.asyncio import Redis


@pytest.mark.parametrize("_again", [1, 2])
async def test_a_test_sees_no_rows_of_another(database_url: str, _again: int) -> None:
    connection = await asyncpg.connect(database_url)
    try:
        assert await connection.fetchval("SELECT to_regclass('ai_wallets') IS NOT NULL")
        await connection.execute("CREATE TABLE only_mine ()")
    finally:
        await connection.close()


@pytest.mark.parametrize("_again", [1, 2])
async def test_a_test_sees_no_keys_of_another(redis_url: str, _again: int) -> None:
    client = Redis.from_url(redis_url)
    try:
        assert await client.dbsize() == 0
        await client.set("only-mine", 1)
    finally:
        await client.aclose()
