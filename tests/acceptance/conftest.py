"""A running program: one for all tests of a worker, or one of a module's own."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import pytest
from redis.asyncio import Redis

from runtime.embedded.postgres import EmbeddedPostgres
from runtime.embedded.valkey import EmbeddedValkey
from tests.support.calling import Caller
from tests.support.office import Office, open_office, set_prices
from tests.support.program import Program
from tests.support.servers import TEMPLATE, with_database


@pytest.fixture(scope="session")
def shared_program(
    postgres_server: EmbeddedPostgres, servers_dir: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Program]:
    """With a Valkey of its own: the tests of other folders empty theirs, and expect no ledger process there."""
    valkey = asyncio.run(EmbeddedValkey.start(servers_dir / "acceptance", secrets.token_urlsafe()))
    try:
        with running(postgres_server, valkey.url, tmp_path_factory.mktemp("program"), {}) as program:
            yield program
    finally:
        asyncio.run(valkey.stop())


@pytest.fixture(scope="module")
def sections() -> dict[str, dict[str, Any]]:
    """What a module wants configured otherwise: overridden there, together with `program`."""
    return {}


@pytest.fixture(scope="module")
def module_program(
    postgres_server: EmbeddedPostgres,
    valkey_server: EmbeddedValkey,
    sections: dict[str, dict[str, Any]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Program]:
    """For modules that want it configured otherwise, or stop parts of it."""
    asyncio.run(_empty(valkey_server.url))
    with running(postgres_server, valkey_server.url, tmp_path_factory.mktemp("program"), sections) as program:
        yield program


@pytest.fixture
def program(shared_program: Program) -> Program:
    """A running program. Each test makes customers of its own, disturbs nobody and stops what it starts."""
    return shared_program


@pytest.fixture
async def office(program: Program) -> AsyncIterator[Office]:
    async with open_office(program) as office:
        yield office


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=60)) as session:
        yield session


@pytest.fixture
async def call(program: Program, http: aiohttp.ClientSession) -> Caller:
    return Caller(program, http)


@pytest.fixture
async def second_proxy(program: Program) -> AsyncIterator[str]:
    """The address of one more proxy of the same program."""
    child, base_url = await program.start_proxy()
    yield base_url
    await child.stop()


@contextmanager
def running(
    postgres: EmbeddedPostgres, redis_url: str, folder: Path, sections: dict[str, dict[str, Any]]
) -> Iterator[Program]:
    """A program on a database of its own."""
    name = f"test_{secrets.token_hex(8)}"
    asyncio.run(_execute(postgres.url, f"CREATE DATABASE {name} TEMPLATE {TEMPLATE}"))
    program = Program(folder, with_database(postgres.url, name), redis_url, sections)
    try:
        asyncio.run(_start(program))
        yield program
    finally:
        asyncio.run(program.stop())
        asyncio.run(_execute(postgres.url, f"DROP DATABASE {name} WITH (FORCE)"))


async def _start(program: Program) -> None:
    await set_prices(program.database_url)
    await program.start()


async def _execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


async def _empty(url: str) -> None:
    client = Redis.from_url(url)
    try:
        await client.flushall()
    finally:
        await client.aclose()
