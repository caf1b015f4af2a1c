"""Real servers for the tests: one Postgres and one Valkey per worker of pytest-xdist, as root or as anybody.

A test that asks for `database_url` gets a database of its own, migrated; one that asks for `redis_url` gets an
empty Valkey. The servers start when the first test asks, and end with the worker.
"""

import asyncio
import secrets
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest
from redis.asyncio import Redis

from runtime.embedded.postgres import EmbeddedPostgres
from runtime.embedded.valkey import EmbeddedValkey

# Test data is thrown away, so Postgres need not wait for the disk: the suite runs several times faster.
NO_DURABILITY = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off"}
TEMPLATE = "farebox_template"


@pytest.fixture(scope="session")
def servers_dir() -> Iterator[Path]:
    """A short-lived folder outside pytest's own, which is closed to the user that Postgres runs as under root."""
    folder = Path(tempfile.mkdtemp(prefix="farebox-tests-"))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def reachable_dir(servers_dir: Path) -> Iterator[Path]:
    """A fresh folder for a server of this test's own, within reach of the user that Postgres runs as under root."""
    folder = servers_dir / secrets.token_hex(8)
    folder.mkdir()
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def postgres_server(servers_dir: Path) -> Iterator[EmbeddedPostgres]:
    """A running Postgres with a migrated template database."""
    start = EmbeddedPostgres.start(servers_dir / "postgres", secrets.token_urlsafe(), settings=NO_DURABILITY)
    server = asyncio.run(start)
    asyncio.run(_make_template(server.url))
    yield server
    asyncio.run(server.stop())


@pytest.fixture(scope="session")
def valkey_server(servers_dir: Path) -> Iterator[EmbeddedValkey]:
    """A running Valkey, as the product starts it."""
    server = asyncio.run(EmbeddedValkey.start(servers_dir / "valkey", secrets.token_urlsafe()))
    yield server
    asyncio.run(server.stop())


@pytest.fixture
async def database_url(postgres_server: EmbeddedPostgres) -> AsyncIterator[str]:
    """The URL of a database of this test's own, with all migrations applied."""
    name = f"test_{secrets.token_hex(8)}"
    await _administer(postgres_server.url, f"CREATE DATABASE {name} TEMPLATE {TEMPLATE}")
    yield with_database(postgres_server.url, name)
    await _administer(postgres_server.url, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
async def redis_url(valkey_server: EmbeddedValkey) -> str:
    """The URL of a Valkey without data, scripts or functions."""
    client = Redis.from_url(valkey_server.url)
    try:
        await client.flushall()
        await client.script_flush()
        await client.function_flush()
    finally:
        await client.aclose()
    return valkey_server.url


def with_database(url: str, name: str) -> str:
    """The same server and user, another database."""
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))


async def _make_template(url: str) -> None:
    from ledger.migrate import migrate  # here, so that tests of other rooms run while this one is being changed

    await _administer(url, f"CREATE DATABASE {TEMPLATE}")
    await migrate(with_database(url, TEMPLATE))


async def _administer(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
