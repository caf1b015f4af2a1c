"""What both servers share: take a free port, start, wait until it answers, and say why if it died instead."""

import asyncio
import re
import signal
import socket
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import structlog

from runtime.embedded import logfile
from runtime.embedded.errors import EmbeddedServerError
from runtime.embedded.folder import FolderLock, empty, is_folder
from runtime.processes import Child, UserIds, start_child

log = structlog.get_logger("farebox.embedded")

HOST = "127.0.0.1"
# A journal of hours may have to be replayed after a crash; a usual start takes a tenth of a second.
START_TIMEOUT_S = 60.0
# A fast shutdown writes a checkpoint: seconds on a slow disk. After that, the journal has everything anyway.
STOP_TIMEOUT_S = 20.0
# Somebody may take the port between our looking and the server's binding; five times in a row is something else.
PORT_TRIES = 5

_ASK_AGAIN_S = 0.02
_PORT_TAKEN = "Address already in use"

# No secrets of ours and no PG* variables reach the servers.
ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C"}


@dataclass(frozen=True)
class Program:
    """A server to be started. The callables are given the port."""

    name: str
    argv: Callable[[int], Sequence[str]]
    stdin: Callable[[int], bytes]
    answers: Callable[[int, Child], Awaitable[bool]]
    log_path: Path
    stop_signal: signal.Signals
    run_as: UserIds | None


class EmbeddedServer:
    """A running server and the lock on its folder."""

    def __init__(self, program: Program, child: Child, lock: FolderLock, port: int, password: str) -> None:
        self._program = program
        self._child = child
        self._lock = lock
        self._password = password
        self.port = port

    @property
    def pid(self) -> int:
        return self._child.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs."""
        return self._child.exit_code

    async def wait(self) -> int:
        """The exit code, once the server has ended by itself. Call `stop` then, too: it lets go of the folder."""
        return await self._child.wait()

    async def stop(self, timeout_s: float = STOP_TIMEOUT_S) -> int:
        """Ask it to finish, wait at most `timeout_s`, then kill it. Returns the exit code; may be called again."""
        code = await self._child.stop(self._program.stop_signal, timeout_s)
        self._lock.release()
        log.info("embedded_server_stopped", server=self._program.name, exit_code=code)
        return code


async def launch(program: Program, lock: FolderLock, port: int, timeout_s: float) -> tuple[Child, int]:
    """Start it on `port`, or on a free one if that is 0, and wait until it answers. Returns it and its port.

    Raises EmbeddedServerError if it ends or does not answer within `timeout_s`; then nothing is left running.
    """
    for _ in range(1 if port else PORT_TRIES):
        chosen = port or free_port()
        start_bytes = logfile.rotate(program.log_path)
        child = _start(program, chosen, lock)
        if await _answers(program, child, chosen, timeout_s):
            log.info("embedded_server_started", server=program.name, port=chosen, pid=child.pid)
            return child, chosen
        written = logfile.read_since(program.log_path, start_bytes)
        if port or _PORT_TAKEN not in written:
            raise EmbeddedServerError(
                f"{program.name} ended with exit code {child.exit_code} while starting; "
                f"the end of {program.log_path}:\n{logfile.last_lines(written)}"
            )
    raise EmbeddedServerError(f"{program.name} found each of {PORT_TRIES} free ports taken when it came to bind")


def _start(program: Program, port: int, lock: FolderLock) -> Child:
    return start_child(
        program.argv(port),
        name=program.name,
        env=ENVIRONMENT,
        cwd=Path("/"),  # ours may be closed to the server's user, and must not be kept busy
        run_as=program.run_as,
        log_path=program.log_path,
        stdin=program.stdin(port),
        keep_fds=[lock.fd],
        death_signal=program.stop_signal,
    )


async def _answers(program: Program, child: Child, port: int, timeout_s: float) -> bool:
    """True once it answers, False if it ends. Whatever else happens, it is stopped first."""
    try:
        async with asyncio.timeout(timeout_s):
            while child.exit_code is None:
                if await program.answers(port, child):
                    return True
                await asyncio.sleep(_ASK_AGAIN_S)
    except TimeoutError:
        await child.stop(program.stop_signal)
        raise EmbeddedServerError(
            f"{program.name} did not answer within {timeout_s:.0f} s; see {program.log_path}"
        ) from None
    except BaseException:
        await child.stop(program.stop_signal)
        raise
    return False


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def check_password(password: str) -> None:
    """It goes into a line of a file and into a URL. Raises ValueError, without quoting it."""
    if re.fullmatch(r"[!-~]{1,256}", password) is None:
        raise ValueError("an embedded server's password must be 1 to 256 printable ASCII characters, no spaces")


@contextmanager
def plain_errors(server: str, folder: Path) -> Iterator[None]:
    """Turns what the operating system refuses into an EmbeddedServerError that names the folder."""
    try:
        yield
    except OSError as error:
        raise EmbeddedServerError(f"{server} cannot use {folder}: {error!s}") from error


async def remove_files(server: str, folder: Path, names: Sequence[str]) -> None:
    """Delete `names` from `folder`, unless a server runs there (EmbeddedServerError)."""
    if not is_folder(folder):
        return
    lock = await FolderLock.take(folder, server)
    try:
        await asyncio.to_thread(empty, folder, names)
    finally:
        lock.release()
