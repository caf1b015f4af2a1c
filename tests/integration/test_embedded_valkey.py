"""The real Valkey: what it keeps, whom it refuses, and that it never outlives the process that started it."""

import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from redis.asyncio import Redis
from redis.exceptions import AuthenticationError

from runtime.embedded.errors import EmbeddedServerError
from runtime.embedded.valkey import EmbeddedValkey, remove
from runtime.processes import start_child
from tests.support.waiting import arguments_of, names_in, read, until, until_gone

PASSWORD = "correct-\"horse'\\"

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child that its parent was killed")


@asynccontextmanager
async def running(folder: Path, password: str = PASSWORD, port: int = 0) -> AsyncIterator[EmbeddedValkey]:
    server = await EmbeddedValkey.start(folder, password, port=port)
    try:
        yield server
    finally:
        await server.stop()


@asynccontextmanager
async def client(url: str) -> AsyncIterator[Redis]:
    connection = Redis.from_url(url, decode_responses=True)
    try:
        yield connection
    finally:
        await connection.aclose()


async def test_keys_are_there_after_a_restart(tmp_path: Path) -> None:
    async with running(tmp_path / "valkey") as server, client(server.url) as redis:
        await redis.set("answer", 42)
        assert await server.stop() == 0
    async with running(tmp_path / "valkey") as server, client(server.url) as redis:
        assert await redis.get("answer") == "42"


async def test_it_is_set_up_as_promised(tmp_path: Path) -> None:
    async with running(tmp_path / "valkey") as server, client(server.url) as redis:
        found = await redis.config_get("bind", "appendonly", "appendfsync", "save", "maxmemory-policy", "dir")
    assert found == {
        "bind": "127.0.0.1", "appendonly": "yes", "appendfsync": "everysec", "save": "",
        "maxmemory-policy": "noeviction", "dir": str(tmp_path / "valkey"),
    }  # fmt: skip
    assert (tmp_path / "valkey").stat().st_mode & 0o777 == 0o700


async def test_a_wrong_password_is_refused(tmp_path: Path) -> None:
    async with running(tmp_path / "valkey") as server:
        async with client(f"redis://:wrong@127.0.0.1:{server.port}/0") as redis:
            with pytest.raises(AuthenticationError):
                await redis.get("answer")
        async with client(f"redis://127.0.0.1:{server.port}/0") as redis:
            with pytest.raises(AuthenticationError):
                await redis.get("answer")


async def test_the_password_is_neither_on_the_disk_nor_in_the_arguments(tmp_path: Path) -> None:
    async with running(tmp_path / "valkey", "plain-secret") as server:
        arguments = arguments_of(server.pid)
        files = [path for path in (tmp_path / "valkey").rglob("*") if path.is_file()]
        assert [path for path in files if b"plain-secret" in path.read_bytes()] == []
    assert "valkey-server" in arguments
    assert "plain-secret" not in arguments


async def test_a_second_start_on_the_folder_is_refused(tmp_path: Path) -> None:
    async with running(tmp_path / "valkey") as server, client(server.url) as redis:
        with pytest.raises(EmbeddedServerError, match=f"already runs on .* by process {os.getpid()}"):
            await EmbeddedValkey.start(tmp_path / "valkey", PASSWORD)
        with pytest.raises(EmbeddedServerError, match="already runs on"):
            await remove(tmp_path / "valkey")
        assert await redis.ping()


async def test_a_server_that_cannot_read_its_journal_is_quoted(tmp_path: Path) -> None:
    async with running(tmp_path / "valkey") as server, client(server.url) as redis:
        await redis.set("answer", 42)
    for journal in journals(tmp_path / "valkey"):
        journal.write_bytes(b"*3\r\n$3\r\nSET\r\ngarbage\r\n" * 10)
    with pytest.raises(EmbeddedServerError, match=r"(?s)Valkey ended with exit code 1 .*Bad file format"):
        await EmbeddedValkey.start(tmp_path / "valkey", PASSWORD)


async def test_a_port_in_use_is_refused_by_name(tmp_path: Path) -> None:
    async with running(tmp_path / "one") as server:
        with pytest.raises(EmbeddedServerError, match="Address already in use"):
            await EmbeddedValkey.start(tmp_path / "two", PASSWORD, port=server.port)


async def test_a_killed_server_starts_again_with_its_data_on_its_port(tmp_path: Path) -> None:
    async with running(tmp_path / "valkey") as server, client(server.url) as redis:
        await redis.set("answer", 42)
        os.kill(server.pid, signal.SIGKILL)
        assert await server.stop() == -signal.SIGKILL
    async with running(tmp_path / "valkey", port=server.port) as again, client(again.url) as redis:
        assert again.port == server.port
        assert await redis.get("answer") == "42"


PARENT = """
import asyncio, sys
from pathlib import Path
from runtime.embedded.valkey import EmbeddedValkey

async def main():
    server = await EmbeddedValkey.start(Path(sys.argv[1]), sys.argv[2])
    print("server", server.pid, server.url, flush=True)
    await asyncio.sleep(300)

asyncio.run(main())
"""


@on_linux
async def test_when_the_parent_is_killed_the_server_goes_and_the_data_stays(tmp_path: Path) -> None:
    log = tmp_path / "parent.log"
    parent = start_child(
        [sys.executable, "-c", PARENT, str(tmp_path / "valkey"), PASSWORD], name="parent", log_path=log
    )
    await until(lambda: log.exists() and "\nserver " in log.read_text())
    _, pid, url = read(log).splitlines()[-1].split()
    async with client(url) as redis:
        await redis.set("answer", 42)
    await parent.stop(signal.SIGKILL)
    await until_gone(int(pid))
    assert "bye bye" in read(tmp_path / "valkey" / "valkey.log")
    async with running(tmp_path / "valkey") as server, client(server.url) as redis:
        assert await redis.get("answer") == "42"


async def test_removing_takes_all_of_it_and_nothing_of_others(tmp_path: Path) -> None:
    async with running(tmp_path / "valkey"):
        pass
    (tmp_path / "valkey" / "theirs").write_text("x")
    await remove(tmp_path / "valkey")
    assert names_in(tmp_path / "valkey") == ["theirs"]
    await remove(tmp_path / "never-was")


def journals(folder: Path) -> list[Path]:
    return list((folder / "appendonlydir").glob("*.incr.aof"))
