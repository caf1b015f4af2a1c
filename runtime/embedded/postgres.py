"""A private Postgres: `EmbeddedPostgres.start(folder, password)`, `.url`, `.stop()`.

In the data folder: `cluster` (Postgres's own files), `postgres.log`, `farebox.lock`. It listens on 127.0.0.1 only,
has no Unix socket, asks everyone for the password, and is ended by SIGINT (a fast shutdown: open transactions
are rolled back, everything committed is on disk).
"""

import asyncio
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Self
from urllib.parse import quote

import asyncpg

from runtime.embedded import cluster, launch
from runtime.embedded.binaries import PostgresBinaries, find_postgres, postgres_major, reachable_postgres
from runtime.embedded.errors import EmbeddedServerError
from runtime.embedded.folder import LOCK_NAME, POINTER_NAME, SHARED_DIR, FolderLock, absolute, empty, place, pointed_to
from runtime.embedded.privileges import postgres_user

NAME = "Postgres"
DATABASE = "farebox"
LOG_NAME = "postgres.log"
CONNECT_TIMEOUT_S = 5.0

# For a small machine; the rest is Postgres's own default, so fsync is on.
SETTINGS: Mapping[str, str] = {
    "listen_addresses": launch.HOST,
    "unix_socket_directories": "",
    "shared_buffers": "128MB",
    "max_connections": "100",
    "timezone": "UTC",
    "log_timezone": "UTC",
    # The log file is rotated at a start only, so: starts, stops and disasters, no failed or slow statements.
    "logging_collector": "off",
    "log_min_messages": "log",
    "log_min_error_statement": "panic",
    "log_min_duration_statement": "-1",
    "log_checkpoints": "off",
}

_FILES = (cluster.CLUSTER, cluster.UNFINISHED, cluster.PASSWORD, LOG_NAME, f"{LOG_NAME}.1", POINTER_NAME, LOCK_NAME)


class EmbeddedPostgres(launch.EmbeddedServer):
    """A running Postgres with a database `farebox` and a superuser `farebox`."""

    @property
    def url(self) -> str:
        """Holds the password: not for logs."""
        return f"postgresql://{cluster.OWNER}:{quote(self._password, safe='')}@{launch.HOST}:{self.port}/{DATABASE}"

    @classmethod
    async def start(
        cls,
        data_dir: Path,
        password: str,
        *,
        port: int = 0,
        settings: Mapping[str, str] | None = None,
        binaries: PostgresBinaries | None = None,
        shared_dir: Path = SHARED_DIR,
        timeout_s: float = launch.START_TIMEOUT_S,
    ) -> Self:
        """Start on `data_dir`, making what is missing, and wait until it answers queries.

        The password is set when the data folder is made and must be the same ever after. `port` 0 takes a free
        one. `settings` are laid over SETTINGS; {"fsync": "off"} is for tests, whose data nobody will miss: a crash
        of the machine may then ruin the data folder. `binaries` are others than the wheel's. As root,
        Postgres runs as an unprivileged user, and what that user cannot reach goes below `shared_dir`.

        Call it from the main thread. Raises EmbeddedServerError, and ValueError for an unusable password.
        """
        launch.check_password(password)
        wanted, user = absolute(data_dir), postgres_user()
        chosen = {**SETTINGS, **(settings or {})}
        with launch.plain_errors(NAME, wanted):
            programs = await asyncio.to_thread(reachable_postgres, binaries or find_postgres(), user, shared_dir)
            major = await asyncio.to_thread(postgres_major, programs, user)
            folder = place(wanted, user, shared_dir, holds_data=cluster.CLUSTER)
            site = cluster.Site(programs, major, user, folder, wanted / LOG_NAME)
            lock = await FolderLock.take(folder, NAME)
            with lock.released_on_error():
                sync = chosen.get("fsync") != "off"
                await cluster.prepare(site, password, lock, sync=sync, timeout_s=timeout_s)
                program = _program(site, chosen, password)
                child, taken = await launch.launch(program, lock, port, timeout_s)
                return cls(program, child, lock, taken, password)


async def remove(data_dir: Path, shared_dir: Path = SHARED_DIR) -> None:
    """Delete what `EmbeddedPostgres` keeps for `data_dir`, wherever it is; files of others stay.

    What does not exist is no error. Raises EmbeddedServerError if a server runs on it.
    """
    wanted = absolute(data_dir)
    with launch.plain_errors(NAME, wanted):
        moved = pointed_to(wanted, shared_dir)
        for folder in [wanted] if moved is None else [moved, wanted]:
            await launch.remove_files(NAME, folder, _FILES)
        if moved is not None:
            empty(moved.parent, [])


def _program(site: cluster.Site, settings: Mapping[str, str], password: str) -> launch.Program:
    return launch.Program(
        name=NAME,
        argv=lambda port: [site.binaries.program("postgres"), *arguments(site.data, port, settings)],
        stdin=lambda _port: b"",
        answers=lambda port, _child: _is_ready(port, password, site.data),
        log_path=site.log_path,
        stop_signal=signal.SIGINT,
        run_as=site.user,
    )


def arguments(data: Path, port: int, settings: Mapping[str, str]) -> list[str]:
    """What `postgres` is started with; nothing in it is secret."""
    options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    return ["-D", str(data), "-p", str(port), *options]


async def _is_ready(port: int, password: str, data: Path) -> bool:
    """Whether the server on `port` is the one on `data` and has our database. Makes the database if it is missing."""
    try:
        connection = await asyncpg.connect(
            host=launch.HOST, port=port, user=cluster.OWNER, password=password, database="postgres",
            ssl=False, timeout=CONNECT_TIMEOUT_S, command_timeout=CONNECT_TIMEOUT_S,
        )  # fmt: skip
    except asyncpg.InvalidPasswordError:
        raise EmbeddedServerError(
            f"{data.parent} was made with another password: use that one, or start over with --reset"
        ) from None
    except (OSError, asyncpg.PostgresConnectionError, asyncpg.CannotConnectNowError):
        return False
    try:
        # The port may have gone to another server just before ours tried to bind; ours is about to end then.
        if await connection.fetchval("SHOW data_directory") != str(data):
            return False
        if not await connection.fetchval("SELECT true FROM pg_database WHERE datname = $1", DATABASE):
            await connection.execute(f"CREATE DATABASE {DATABASE}")
        return True
    finally:
        await connection.close(timeout=CONNECT_TIMEOUT_S)
