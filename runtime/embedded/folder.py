"""A server's data folder: one server at a time, and a place where the server's user can reach it."""

import asyncio
import fcntl
import hashlib
import os
import secrets
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import structlog

from runtime.embedded.errors import EmbeddedServerError
from runtime.embedded.privileges import can_enter
from runtime.processes import UserIds

log = structlog.get_logger("farebox.embedded")

SHARED_DIR = Path("/var/lib/farebox")
LOCK_NAME = "farebox.lock"
POINTER_NAME = "located-at.txt"

# How long a server whose parent was killed may take to write its data and go, before we say it is in the way.
DYING_TIMEOUT_S = 30.0
_DYING_POLL_S = 0.05
_RELEASED = -1


class FolderLock:
    """Held by the process that started a server *and* by the server, which inherits the descriptor.

    So it is free only when all of the server's processes are gone, even if the one that started it was killed;
    and it leaves nothing stale behind, as pid files do.
    """

    def __init__(self, fd: int) -> None:
        self.fd = fd

    @classmethod
    async def take(cls, folder: Path, server: str) -> "FolderLock":
        """Waits up to DYING_TIMEOUT_S for a server that is ending; raises EmbeddedServerError for one that is not."""
        lock = cls(os.open(folder / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
        try:
            await lock._wait_until_free(folder, server)
            lock._write_owner(str(os.getpid()))
        except BaseException:
            os.close(lock.fd)
            raise
        return lock

    def release(self) -> None:
        """After the server has ended. Says that nobody owns it: what still holds it is on its way out."""
        if self.fd != _RELEASED:
            self._write_owner("")
            os.close(self.fd)
            self.fd = _RELEASED

    @contextmanager
    def released_on_error(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self.release()
            raise

    async def _wait_until_free(self, folder: Path, server: str) -> None:
        try:
            async with asyncio.timeout(DYING_TIMEOUT_S):
                while not _try_flock(self.fd):
                    self._refuse_if_owned(folder, server)
                    await asyncio.sleep(_DYING_POLL_S)
        except TimeoutError:
            raise EmbeddedServerError(
                f"a {server} whose parent is gone still runs on {folder} after {DYING_TIMEOUT_S:.0f} s: end it by hand"
            ) from None

    def _refuse_if_owned(self, folder: Path, server: str) -> None:
        owner = os.pread(self.fd, 20, 0).decode()
        if owner.isdigit() and is_alive(int(owner)):
            raise EmbeddedServerError(
                f"{server} already runs on {folder}, started by process {owner}: "
                "stop that one first, or choose another data folder"
            )

    def _write_owner(self, owner: str) -> None:
        os.ftruncate(self.fd, 0)
        os.pwrite(self.fd, owner.encode(), 0)


def is_alive(pid: int) -> bool:
    """Whether some process has this number, ours or not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _try_flock(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def absolute(folder: Path) -> Path:
    """Without symbolic links, so that one folder has one name (and Postgres tells us the same one)."""
    return folder.resolve()


def is_folder(path: Path) -> bool:
    return path.is_dir()


def make_folders(path: Path, mode: int) -> None:
    """Make `path` and what is missing above it, with `mode` whatever the umask. What exists is left as it is."""
    missing = [step for step in (path, *path.parents) if not step.exists()]
    for step in reversed(missing):
        step.mkdir(exist_ok=True)
        step.chmod(mode)


def place(wanted: Path, user: UserIds | None, shared_dir: Path, *, holds_data: str) -> Path:
    """The folder to use for `wanted`: itself, or one below `shared_dir` if `user` cannot reach it.

    No folder but the ones made here changes its mode. A pointer file in `wanted` says where the data went, and
    later calls follow it. `holds_data` is the name whose presence in `wanted` means there is data already.
    Raises EmbeddedServerError if there is data that `user` cannot reach any more.
    """
    pointed = pointed_to(wanted, shared_dir)
    if pointed is None:
        # The server's user must pass through to what it owns inside; it can neither list nor write.
        make_folders(wanted, 0o700 if user is None else 0o711)
        if user is None:
            return wanted
        _refuse_if_not_ours(wanted)
        if can_enter(wanted, user):
            return wanted
        if (wanted / holds_data).exists():
            raise EmbeddedServerError(
                f"{wanted} holds data that user id {user.uid} can no longer reach (a server cannot run as root): "
                "let others pass (chmod o+x) through the folders above it, as when it was made"
            )
        pointed = _move_away(wanted, shared_dir)
    make_folders(pointed, 0o711)
    if user is not None and not can_enter(pointed, user):
        raise EmbeddedServerError(f"user id {user.uid} can reach neither {wanted} nor {pointed}")
    return pointed


def _refuse_if_not_ours(folder: Path) -> None:
    """We are root, and would write to places that their owner could swap for others under our hands."""
    owner = folder.stat().st_uid
    if owner != os.geteuid():
        raise EmbeddedServerError(f"{folder} belongs to user id {owner}: start farebox as that user, not as root")


def pointed_to(wanted: Path, shared_dir: Path) -> Path | None:
    """Where the pointer file in `wanted` says the data is. Raises EmbeddedServerError if that is not ours to use."""
    try:
        text = (wanted / POINTER_NAME).read_text().strip()
    except FileNotFoundError:
        return None
    target, ours = Path(text).resolve(), (shared_dir / "data").resolve()
    # We may be root, and the folder may come from somebody else: its word must not lead us anywhere.
    if target.parent.parent != ours:
        raise EmbeddedServerError(f"{wanted / POINTER_NAME} points outside {ours}: remove it if it is not yours")
    return target


def _move_away(wanted: Path, shared_dir: Path) -> Path:
    # Never a place used before: whoever removed `wanted`, and the pointer with it, meant to start anew.
    digest = hashlib.sha256(os.fsencode(wanted)).hexdigest()[:16]
    target = shared_dir / "data" / f"{digest}-{secrets.token_hex(4)}" / "postgres"
    make_folders(target, 0o711)
    unfinished = wanted / f"{POINTER_NAME}.new"
    unfinished.write_text(f"{target}\n")
    unfinished.replace(wanted / POINTER_NAME)
    log.info("data_folder_moved", wanted=str(wanted), path=str(target), reason="the server's user cannot reach it")
    return target


def empty(folder: Path, names: Sequence[str]) -> None:
    """Delete `names` in `folder`, and the folder if nothing else is left in it. What is missing is no error."""
    for name in names:
        path = folder / name
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()
