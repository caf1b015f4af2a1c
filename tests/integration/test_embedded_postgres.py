"""The real Postgres: what it keeps, whom it refuses, and that it never outlives the process that started it."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from runtime.embedded import cluster
from runtime.embedded.binaries import PostgresBinaries, copy_postgres, find_postgres
from runtime.embedded.errors import EmbeddedServerError
from runtime.embedded.folder import POINTER_NAME
from runtime.embedded.postgres import EmbeddedPostgres, remove
from runtime.processes import start_child
from tests.support.servers import with_database
from tests.support.waiting import arguments_of, names_in, read, until, until_gone

PASSWORD = "correct-horse"

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="is about what only happens under root")
on_linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child that its parent was killed")


@asynccontextmanager
async def running(folder: Path, password: str = PASSWORD, **options: Any) -> AsyncIterator[EmbeddedPostgres]:
    server = await EmbeddedPostgres.start(folder, password, **options)
    try:
        yield server
    finally:
        await server.stop()


async def ask(url: str, query: str) -> Any:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


async def note_something(url: str) -> None:
    await ask(url, "CREATE TABLE note AS SELECT 42 AS answer")


async def test_rows_are_there_after_a_restart(reachable_dir: Path) -> None:
    async with running(reachable_dir / "pg") as server:
        await note_something(server.url)
        assert await server.stop() == 0
    async with running(reachable_dir / "pg") as server:
        assert await ask(server.url, "SELECT answer FROM note") == 42


async def test_it_is_set_up_as_promised(reachable_dir: Path) -> None:
    async with running(reachable_dir / "pg") as server:
        found = {
            name: await ask(server.url, f"SHOW {name}")
            for name in ("fsync", "listen_addresses", "unix_socket_directories", "server_encoding", "timezone")
        }
        locale = await ask(server.url, "SELECT datlocale FROM pg_database WHERE datname = current_database()")
        method = await ask(server.url, "SELECT string_agg(DISTINCT auth_method, ' ') FROM pg_hba_file_rules")
        others = [path for path in (reachable_dir / "pg").rglob("*") if path.stat().st_mode & 0o066]
    assert found == {
        "fsync": "on", "listen_addresses": "127.0.0.1", "unix_socket_directories": "",
        "server_encoding": "UTF8", "timezone": "UTC",
    }  # fmt: skip
    assert (locale, method, others) == ("C.UTF-8", "scram-sha-256", [])


async def test_a_wrong_password_is_refused_by_the_server(reachable_dir: Path) -> None:
    async with running(reachable_dir / "pg") as server:
        with pytest.raises(asyncpg.InvalidPasswordError):
            await ask(server.url.replace(PASSWORD, "wrong"), "SELECT 1")


async def test_starting_with_another_password_than_at_first_is_refused(reachable_dir: Path) -> None:
    async with running(reachable_dir / "pg"):
        pass
    with pytest.raises(EmbeddedServerError, match="made with another password"):
        await EmbeddedPostgres.start(reachable_dir / "pg", "wrong")
    async with running(reachable_dir / "pg"):
        pass  # and the refused start left nothing running


async def test_the_password_is_nowhere_on_the_disk_or_in_the_arguments(reachable_dir: Path) -> None:
    async with running(reachable_dir / "pg") as server:
        files = [path for path in (reachable_dir / "pg").rglob("*") if path.is_file()]
        holding = [path for path in files if PASSWORD.encode() in path.read_bytes()]
        arguments = arguments_of(server.pid)
    assert holding == []
    assert "-D" in arguments
    assert PASSWORD not in arguments


async def test_a_second_start_on_the_folder_is_refused(reachable_dir: Path) -> None:
    async with running(reachable_dir / "pg") as server:
        with pytest.raises(EmbeddedServerError, match=f"already runs on .* by process {os.getpid()}"):
            await EmbeddedPostgres.start(reachable_dir / "pg", PASSWORD)
        with pytest.raises(EmbeddedServerError, match="already runs on"):
            await remove(reachable_dir / "pg")
        assert await ask(server.url, "SELECT 1") == 1


async def test_data_of_another_version_is_refused_and_left_alone(reachable_dir: Path) -> None:
    async with running(reachable_dir / "pg"):
        pass
    version = reachable_dir / "pg" / cluster.CLUSTER / "PG_VERSION"
    version.write_text("16\n")
    with pytest.raises(EmbeddedServerError, match=r"made by Postgres 16, .* is Postgres 18"):
        await EmbeddedPostgres.start(reachable_dir / "pg", PASSWORD)
    version.write_text("18\n")
    async with running(reachable_dir / "pg") as server:
        assert await ask(server.url, "SELECT 1") == 1


async def test_a_server_that_dies_at_once_is_quoted(reachable_dir: Path) -> None:
    with pytest.raises(EmbeddedServerError, match=r'(?s)exit code 1.*invalid value for parameter "work_mem"'):
        await EmbeddedPostgres.start(reachable_dir / "pg", PASSWORD, settings={"work_mem": "lots"})


async def test_a_killed_server_starts_again_with_its_data(reachable_dir: Path) -> None:
    """What SIGKILL leaves, a postmaster.pid and a journal to replay, does not hinder; the port can be kept."""
    async with running(reachable_dir / "pg") as server:
        await note_something(server.url)
        os.kill(server.pid, signal.SIGKILL)
        assert await server.stop() == -signal.SIGKILL
    assert "postmaster.pid" in cluster_names(reachable_dir / "pg")
    async with running(reachable_dir / "pg", port=server.port) as again:
        assert again.port == server.port
        assert await ask(again.url, "SELECT answer FROM note") == 42


async def test_a_database_lost_between_initdb_and_the_first_start_is_made(reachable_dir: Path) -> None:
    async with running(reachable_dir / "pg") as server:
        await ask(with_database(server.url, "postgres"), "DROP DATABASE farebox")
    async with running(reachable_dir / "pg") as server:
        assert await ask(server.url, "SELECT current_database()") == "farebox"


async def test_a_cancelled_start_leaves_nothing_running(reachable_dir: Path) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.15):
            await EmbeddedPostgres.start(reachable_dir / "pg", PASSWORD)
    async with running(reachable_dir / "pg") as server:
        assert await ask(server.url, "SELECT 1") == 1


PARENT = """
import asyncio, sys
from pathlib import Path
from runtime.embedded.postgres import EmbeddedPostgres

async def main():
    server = await EmbeddedPostgres.start(Path(sys.argv[1]), sys.argv[2])
    print("server", server.pid, server.url, flush=True)
    await asyncio.sleep(300)

asyncio.run(main())
"""


@on_linux
async def test_when_the_parent_is_killed_the_server_goes_and_the_data_stays(reachable_dir: Path) -> None:
    log = reachable_dir / "parent.log"
    parent = start_child(
        [sys.executable, "-c", PARENT, str(reachable_dir / "pg"), PASSWORD], name="parent", log_path=log
    )
    await until(lambda: log.exists() and "\nserver " in log.read_text())
    _, pid, url = read(log).splitlines()[-1].split()
    await note_something(url)
    await parent.stop(signal.SIGKILL)
    await until_gone(int(pid))
    async with running(reachable_dir / "pg") as server:
        assert await ask(server.url, "SELECT answer FROM note") == 42
    assert "database system was not properly shut down" not in read(reachable_dir / "pg" / "postgres.log")


@on_linux
async def test_the_next_start_waits_for_a_server_whose_parent_was_killed(reachable_dir: Path) -> None:
    log = reachable_dir / "parent.log"
    parent = start_child(
        [sys.executable, "-c", PARENT, str(reachable_dir / "pg"), PASSWORD], name="parent", log_path=log
    )
    await until(lambda: log.exists() and "\nserver " in log.read_text())
    await parent.stop(signal.SIGKILL)
    async with running(reachable_dir / "pg") as server:
        assert await ask(server.url, "SELECT 1") == 1


@on_linux
async def test_an_initdb_whose_parent_was_killed_half_way_is_done_again(reachable_dir: Path) -> None:
    unfinished = reachable_dir / "pg" / cluster.UNFINISHED
    parent = start_child(
        [sys.executable, "-c", PARENT, str(reachable_dir / "pg"), PASSWORD],
        name="parent", log_path=reachable_dir / "parent.log",
    )  # fmt: skip
    await until(lambda: (unfinished / "PG_VERSION").exists())
    await parent.stop(signal.SIGKILL)
    assert cluster.CLUSTER not in names_in(reachable_dir / "pg")
    async with running(reachable_dir / "pg") as server:
        assert await ask(server.url, "SELECT 1") == 1
    assert cluster.UNFINISHED not in names_in(reachable_dir / "pg")
    assert cluster.PASSWORD not in names_in(reachable_dir / "pg")


async def test_removing_takes_all_of_it_and_nothing_of_others(reachable_dir: Path) -> None:
    async with running(reachable_dir / "pg") as server:
        await note_something(server.url)
    (reachable_dir / "pg" / "theirs").write_text("x")
    await remove(reachable_dir / "pg")
    assert names_in(reachable_dir / "pg") == ["theirs"]
    await remove(reachable_dir / "pg")
    await remove(reachable_dir / "never-was")


@as_root
async def test_root_keeps_its_closed_folders_closed(tmp_path: Path, reachable_dir: Path) -> None:
    closed, shared = tmp_path / "closed", reachable_dir / "shared"
    closed.mkdir(mode=0o700)
    before = modes_up_from(closed)
    async with running(closed / "pg", shared_dir=shared) as server:
        await note_something(server.url)
    assert modes_up_from(closed) == before
    assert names_in(closed / "pg") == [POINTER_NAME, "postgres.log"]
    async with running(closed / "pg", shared_dir=shared) as server:
        assert await ask(server.url, "SELECT answer FROM note") == 42
    await remove(closed / "pg", shared)
    assert names_in(closed) == names_in(shared / "data") == []
    assert modes_up_from(closed) == before


@as_root
async def test_root_may_keep_the_binaries_in_a_closed_folder(tmp_path: Path, reachable_dir: Path) -> None:
    hidden = closed_copy(tmp_path)
    before = modes_up_from(hidden.bin_dir)
    async with running(reachable_dir / "pg", binaries=hidden, shared_dir=reachable_dir / "shared") as server:
        program = program_of(server.pid)
    assert program.is_relative_to(reachable_dir / "shared" / "binaries")
    assert modes_up_from(hidden.bin_dir) == before


@as_root
async def test_under_root_the_server_is_not_root_and_owns_its_files_only(reachable_dir: Path) -> None:
    async with running(reachable_dir / "pg") as server:
        assert user_of(server.pid) != 0
    owners = {path.name: path.stat().st_uid for path in children(reachable_dir / "pg")}
    assert [name for name, uid in owners.items() if uid != 0] == [cluster.CLUSTER]


def modes_up_from(folder: Path) -> list[tuple[Path, int, int, int]]:
    """Mode, owner and group of a folder and of all above it."""
    steps = (folder, *folder.parents)
    return [(step, status.st_mode, status.st_uid, status.st_gid) for step in steps for status in [step.stat()]]


def closed_copy(folder: Path) -> PostgresBinaries:
    folder.chmod(0o700)
    return copy_postgres(find_postgres(), folder)


def program_of(pid: int) -> Path:
    return Path(f"/proc/{pid}/exe").readlink()


def user_of(pid: int) -> int:
    return Path(f"/proc/{pid}").stat().st_uid


def children(folder: Path) -> list[Path]:
    return list(folder.iterdir())


def cluster_names(folder: Path) -> list[str]:
    return names_in(folder / cluster.CLUSTER)
