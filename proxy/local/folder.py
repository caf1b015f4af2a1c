"""The data folder of a local installation: one `farebox up` at a time, and files that only their owner reads."""

import fcntl
import os
import secrets
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self
from uuid import UUID, uuid4

import orjson

from proxy.process.starting import StartError

_SECRETS = "secrets.json"
_OWN_FILES = (_SECRETS, "config.yaml", "demo.json")
_SECRET_BYTES = 32


@dataclass(frozen=True, slots=True)
class Secrets:
    """Made at the first start, and the same ever after."""

    postgres_password: str
    valkey_password: str
    key_pepper: str
    jwt_secret: str
    stripe_webhook_secret: str
    user_id: str
    admin_id: str

    @classmethod
    def new(cls) -> Self:
        def random() -> str:
            return secrets.token_urlsafe(_SECRET_BYTES)

        return cls(random(), random(), random(), random(), f"whsec_{random()}", str(uuid4()), str(uuid4()))


class DataFolder:
    """Locked from `open` until this process ends, however it ends."""

    def __init__(self, path: Path, lock_fd: int) -> None:
        self.path = path
        self._lock_fd = lock_fd

    @classmethod
    def open(cls, path: Path) -> Self:
        """Make it where it is not; raises StartError where another process has it or it cannot be made."""
        path = path.absolute()
        try:
            # others may pass through, not look: as root, Postgres runs as a user who must reach its own folder in here
            path.mkdir(mode=0o711, parents=True, exist_ok=True)
            lock_fd = os.open(path / "up.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StartError(f"--data {path}: {error.strerror}") from error
        try:
            fcntl.flock(lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock_fd)
            raise StartError(f"--data {path}: another `farebox up` is running on this folder") from None
        return cls(path, lock_fd)

    @property
    def spool(self) -> Path:
        """Where the proxy keeps what Redis cannot take."""
        return self.path / "spool"

    def forget(self) -> None:
        """Remove our own files; the servers remove theirs."""
        for name in _OWN_FILES:
            (self.path / name).unlink(missing_ok=True)
        shutil.rmtree(self.spool, ignore_errors=True)

    def secrets(self) -> Secrets:
        found = self.read_json(_SECRETS)
        if found is None:
            made = Secrets.new()
            self.write_private(_SECRETS, orjson.dumps(asdict(made)))
            return made
        try:
            kept = Secrets(**found)
            UUID(kept.user_id), UUID(kept.admin_id)
        except (AttributeError, TypeError, ValueError):
            raise StartError(
                f"--data {self.path}: {_SECRETS} is not of this version of Farebox; start anew with --reset"
            ) from None
        return kept

    def read_json(self, name: str) -> Any:
        """What `write_private` wrote, or None."""
        try:
            return orjson.loads((self.path / name).read_bytes())
        except FileNotFoundError:
            return None
        except orjson.JSONDecodeError:
            raise StartError(f"--data {self.path}: {name} is damaged; start anew with --reset") from None

    def write_private(self, name: str, content: bytes) -> Path:
        """Readable by the owner only, and whole or not there at all."""
        path = self.path / name
        unfinished = path.with_name(f"{name}.new")
        unfinished.unlink(missing_ok=True)
        fd = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(fd, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
        return path
