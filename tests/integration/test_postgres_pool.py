"""A pool is closed in bounded time, whatever its connections are doing."""

import asyncio

import pytest

from runtime import postgres
from runtime.postgres import close_pool, create_pool


async def test_a_pool_that_is_idle_is_closed(database_url: str) -> None:
    pool = await create_pool(database_url)
    assert await pool.fetchval("SELECT 1") == 1
    await close_pool(pool)
    with pytest.raises(postgres.UNAVAILABLE):
        await pool.fetchval("SELECT 1")


async def test_a_connection_that_nobody_gives_back_is_not_waited_for(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "CLOSE_TIMEOUT_S", 0.05)
    pool = await create_pool(database_url)
    connection = await pool.acquire()
    async with asyncio.timeout(10):
        await close_pool(pool)
    with pytest.raises(postgres.UNAVAILABLE):
        await connection.fetchval("SELECT 1")
