"""The files of a Postgres data folder ("cluster"): made whole or not at all, of our version, and of our owner."""

import asyncio
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from runtime.embedded import logfile
from runtime.embedded.binaries import PostgresBinaries
from runtime.embedded.errors import EmbeddedServerError
from runtime.embedded.folder import FolderLock, is_alive
from runtime.embedded.launch import ENVIRONMENT
from runtime.processes import Child, UserIds, start_child

CLUSTER = "cluster"
UNFINISHED = "cluster.new"
PASSWORD = "initial-password"  # noqa: S105 - the name of a file
OWNER = "farebox"

# The builtin C.UTF-8 sorts and folds the same on every machine: no index is broken by a new C library.
_LOCALE = ["--encoding=UTF8", "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]


@dataclass(frozen=True)
class Site:
    """Which Postgres runs where, and as whom (None: as ourselves)."""

    binaries: PostgresBinaries
    major: int
    user: UserIds | None
    folder: Path
    log_path: Path

    @property
    def data(self) -> Path:
        return self.folder / CLUSTER


async def prepare(site: Site, password: str, lock: FolderLock, *, sync: bool, timeout_s: float) -> None:
    """After this there is a cluster that this Postgres can start on. Raises EmbeddedServerError."""
    clear_unfinished(site.folder)
    if not has_cluster(site):
        await _make_cluster(site, password, lock, sync=sync, timeout_s=timeout_s)
    check_cluster(site)
    clear_stale_pid(site.data)


def has_cluster(site: Site) -> bool:
    return site.data.exists()


def clear_unfinished(folder: Path) -> None:
    """Remove what an interrupted initdb left. Call it with the folder's lock held."""
    remove_file(folder / PASSWORD)
    if (folder / UNFINISHED).exists():
        shutil.rmtree(folder / UNFINISHED)


async def _make_cluster(site: Site, password: str, lock: FolderLock, *, sync: bool, timeout_s: float) -> None:
    """initdb under another name, then rename: what an interrupted one leaves never has the name `cluster`.

    `sync` False leaves the files to the operating system to write.
    """
    start_bytes = logfile.rotate(site.log_path)
    unfinished, password_path = _make_private(site, password)
    argv = [site.binaries.program("initdb"), f"--pgdata={unfinished}", f"--username={OWNER}", *_LOCALE]
    argv += [f"--pwfile={password_path}", "--auth=scram-sha-256", "--no-instructions"]
    child = start_child(
        argv if sync else [*argv, "--no-sync"],
        name="initdb",
        env=ENVIRONMENT,
        cwd=Path("/"),
        run_as=site.user,
        log_path=site.log_path,
        keep_fds=[lock.fd],
    )
    code = await _finish(child, password_path, timeout_s)
    if code != 0:
        lines = logfile.last_lines(logfile.read_since(site.log_path, start_bytes))
        reason = f"did not finish within {timeout_s:.0f} s" if code is None else f"ended with exit code {code}"
        raise EmbeddedServerError(f"initdb {reason}; the end of {site.log_path}:\n{lines}")
    unfinished.rename(site.data)
    _sync_folder(site.folder)


async def _finish(initdb: Child, password_path: Path, timeout_s: float) -> int | None:
    """Its exit code, None if it took too long. However it goes, it has ended, and the password is off the disk."""
    try:
        async with asyncio.timeout(timeout_s):
            return await initdb.wait()
    except TimeoutError:
        return None
    finally:
        await initdb.stop()
        remove_file(password_path)


def _make_private(site: Site, password: str) -> tuple[Path, Path]:
    unfinished, password_path = site.folder / UNFINISHED, site.folder / PASSWORD
    unfinished.mkdir(mode=0o700)
    fd = os.open(password_path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(fd, "w") as file:
        file.write(f"{password}\n")
        if site.user is not None:
            os.fchown(fd, site.user.uid, site.user.gid)
    if site.user is not None:
        os.chown(unfinished, site.user.uid, site.user.gid, follow_symlinks=False)
    return unfinished, password_path


def remove_file(path: Path) -> None:
    path.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def check_cluster(site: Site) -> None:
    """Raises EmbeddedServerError if this Postgres, run as this user, cannot use the cluster."""
    made_by, major = made_by_version(site.data), str(site.major)
    if made_by != major:
        raise EmbeddedServerError(
            f"{site.data} was made by Postgres {made_by}, but the one installed is Postgres {major}, which cannot "
            f"read it: dump it with Postgres {made_by} and restore it into a new folder, or start over with --reset"
        )
    owner, ours = site.data.stat().st_uid, os.geteuid() if site.user is None else site.user.uid
    if owner != ours:
        raise EmbeddedServerError(
            f"{site.data} belongs to user id {owner}, but Postgres would run as user id {ours}: "
            "start farebox as the user that made it, or start over with --reset"
        )


def made_by_version(data: Path) -> str:
    """The major version that made a cluster. Raises EmbeddedServerError if it is none."""
    try:
        return (data / "PG_VERSION").read_text().strip()
    except FileNotFoundError:
        raise EmbeddedServerError(f"{data} is not a Postgres data folder: it has no PG_VERSION") from None


def clear_stale_pid(data: Path) -> None:
    """Remove a `postmaster.pid` that a killed server left, if it names a process that is something else by now.

    Postgres does this itself unless the number is in use again, which is common in containers, where numbers
    start from 1. Call it with the folder's lock held: no server of ours is running, only one started by hand
    could be. Raises EmbeddedServerError if there is one.
    """
    path = data / "postmaster.pid"
    try:
        pid = int(path.read_text().split("\n", 1)[0])
    except (FileNotFoundError, ValueError):
        return
    if not is_alive(pid):
        return
    workplace = _working_folder(pid)
    if workplace == data:  # a postmaster's working folder is its data folder
        raise EmbeddedServerError(
            f"a Postgres that farebox did not start already runs on {data} as process {pid}: stop that one first"
        )
    if workplace is not None:
        path.unlink()


def _working_folder(pid: int) -> Path | None:
    """None where that cannot be told: no /proc, or a process we may not look at. Then Postgres is left to judge."""
    try:
        return Path(f"/proc/{pid}/cwd").readlink()
    except OSError:
        return None
