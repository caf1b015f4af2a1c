"""`farebox up`: one command and everything runs; one signal and nothing is left of it."""

import os
import signal
import socket
import stat
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import aiohttp
import pytest
from redis.asyncio import Redis

from accounts.prices import STARTING_PRICES
from ledger.audit import audit
from runtime.postgres import create_pool
from tests.support.calling import CHAT, PROMPT
from tests.support.installation import Installation
from tests.support.ledger import until

DEMO_FIELDS = [
    "base_url",
    "api_key",
    "key_id",
    "user_id",
    "user_token",
    "admin_id",
    "admin_token",
    "database_url",
    "redis_url",
    "models",
    "stripe_webhook_secret",
]
BONUS_DOLLARS = 10


@pytest.fixture
async def here(reachable_dir: Path) -> AsyncIterator[Installation]:
    here = Installation(reachable_dir / "data")
    yield here
    if here.child is not None and here.child.exit_code is None:
        await here.stop()


async def ask(http: aiohttp.ClientSession, here: Installation, key: str | None = None) -> tuple[int, str]:
    """One request as anybody would send it: status, and what it cost."""
    body = {"model": here.demo["models"][0], "messages": [{"role": "user", "content": PROMPT}], "max_tokens": 2}
    headers = {"authorization": f"Bearer {key or here.demo['api_key']}"}
    async with http.post(here.demo["base_url"] + CHAT, json=body, headers=headers) as answer:
        await answer.read()
        return answer.status, answer.headers.get("x-farebox-cost", "")


async def can_be_asked(http: aiohttp.ClientSession, here: Installation) -> None:
    """Waits until requests are answered: a part of it may just be starting again."""

    async def is_answered() -> bool:
        try:
            return (await ask(http, here))[0] == 200
        except aiohttp.ClientError:
            return False

    await until(is_answered)


async def balance(here: Installation) -> Decimal:
    """The demo wallet's balance once everything is posted, and the books hold."""
    redis = Redis.from_url(here.demo["redis_url"])
    pool = await create_pool(here.demo["database_url"])
    try:

        async def is_posted() -> bool:
            return not await redis.xlen("fb:{0}:usage") and not await redis.hlen("fb:{0}:holds")

        await until(is_posted)
        assert (await audit(pool)).holds
        found = await pool.fetchval("SELECT balance FROM ai_wallets WHERE user_id = $1", UUID(here.demo["user_id"]))
        assert isinstance(found, Decimal)
        return found
    finally:
        await pool.close()
        await redis.aclose()


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


async def test_it_serves_until_it_is_told_to_stop_and_keeps_what_it_had(
    here: Installation, http: aiohttp.ClientSession
) -> None:
    await here.start()
    demo: dict[str, Any] = here.demo
    assert list(demo) == DEMO_FIELDS
    assert mode(here.data / "demo.json") == 0o600
    assert mode(here.data / "config.yaml") == 0o600
    assert mode(here.data / "secrets.json") == 0o600
    assert demo["base_url"] == f"http://127.0.0.1:{here.port}"
    assert demo["models"] == list(STARTING_PRICES)
    assert all(isinstance(demo[field], str) and demo[field] for field in DEMO_FIELDS if field != "models")
    assert demo["api_key"] in here.said
    assert await balance(here) == BONUS_DOLLARS

    status, cost = await ask(http, here)
    assert status == 200
    left = await balance(here)
    assert left == BONUS_DOLLARS - Decimal(cost) < BONUS_DOLLARS

    started = here.started()
    for words in ("postgres", "valkey-server", "proxy simulate", "proxy ledger", "proxy serve"):
        assert any(words in command for command in started.values()), (words, started)
    for secret in (demo["api_key"], demo["database_url"].split(":")[2].split("@")[0]):
        assert not any(secret in command for command in started.values())
    assert await here.stop() == 0

    await here.start()
    assert (here.demo["api_key"], here.demo["user_id"]) == (demo["api_key"], demo["user_id"])
    assert await balance(here) == left
    assert (await ask(http, here))[0] == 200
    assert await here.stop(signal.SIGINT) == 0

    await here.start("--reset")
    assert here.demo["api_key"] != demo["api_key"]
    assert await balance(here) == BONUS_DOLLARS
    assert (await ask(http, here))[0] == 200
    assert (await ask(http, here, demo["api_key"]))[0] == 401


async def test_a_second_one_on_the_same_folder_or_port_says_what_is_in_its_way(
    here: Installation, http: aiohttp.ClientSession, reachable_dir: Path
) -> None:
    await here.start()
    beside = Installation(reachable_dir / "data")
    beside._output = reachable_dir / "beside.output"
    code, said = await beside.fail()
    assert (code, len(said.splitlines())) == (1, 1)
    assert "another `farebox up` is running on this folder" in said
    code, said = await Installation(reachable_dir / "other", here.port).fail()
    assert (code, len(said.splitlines())) == (1, 1)
    assert f"port {here.port}" in said
    assert (await ask(http, here))[0] == 200


@pytest.mark.parametrize(
    "damage", [b"{", b"[]", b"{}", b'"text"', b"\xff", b'{"postgres_password": "x"}'], ids=lambda damage: repr(damage)
)
async def test_damaged_secrets_are_named(here: Installation, damage: bytes) -> None:
    here.data.mkdir()
    (here.data / "secrets.json").write_bytes(damage)
    code, said = await here.fail()
    assert (code, len(said.splitlines())) == (1, 1), said
    assert "secrets.json" in said and "--reset" in said
    assert here.started() == {}


async def test_a_port_that_is_taken_is_said_before_anything_is_made(here: Installation) -> None:
    with socket.create_server(("127.0.0.1", here.port)):
        code, said = await here.fail()
    assert code == 1
    assert f"cannot listen on 127.0.0.1 port {here.port}" in said
    assert not here.data.exists()


async def test_an_upstream_that_is_not_there_is_said(here: Installation) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/v1"
        code, said = await here.fail("--upstream", url)
    assert code == 1
    assert f"--upstream {url}" in said.splitlines()[-1]
    assert here.started() == {}


async def test_killed_it_leaves_nothing_running_and_nothing_lost(
    here: Installation, http: aiohttp.ClientSession
) -> None:
    await here.start()
    key = here.demo["api_key"]
    costs = [Decimal((await ask(http, here))[1]) for _ in range(3)]
    left = await balance(here)
    assert left == BONUS_DOLLARS - sum(costs)
    await here.stop(signal.SIGKILL)
    await here.start()
    assert here.demo["api_key"] == key
    assert await balance(here) == left
    assert (await ask(http, here))[0] == 200


async def test_whatever_part_is_killed_is_started_again_and_the_books_hold(
    here: Installation, http: aiohttp.ClientSession
) -> None:
    await here.start()
    spent = Decimal(0)
    for words in ("bin/postgres", "valkey-server", "proxy ledger", "proxy serve", "proxy simulate"):
        status, cost = await ask(http, here)
        assert status == 200
        spent += Decimal(cost)
        await balance(here)
        killed = here.part(words)
        os.kill(killed, signal.SIGKILL)

        async def is_back(words: str = words, killed: int = killed) -> bool:
            return any(words in command and pid != killed for pid, command in here.started().items())

        await until(is_back)
        await can_be_asked(http, here)
    assert await balance(here) <= BONUS_DOLLARS - spent
    assert await here.stop() == 0
