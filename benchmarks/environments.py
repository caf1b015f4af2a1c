"""Programs of others, each in a folder of its own under .bench: pinned Python packages, or a package of Debian's.

Nothing is installed into the system. What cannot be had is None.
"""

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

LOCKS = Path(__file__).parent / "contenders"
FOLDER = Path(__file__).parents[1] / ".bench"
INSTALL_TIMEOUT_S = 900.0


def contender(name: str) -> str | None:
    """Its program: on PATH, or among Debian's servers, or got."""
    if found := shutil.which(name, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin"):
        return found
    return debian(name) if name == "nginx" else program(name, name)


def program(name: str, command: str, folder: Path = FOLDER) -> str | None:
    """The program `command` of the environment `name`, which is made if need be."""
    lock, home = LOCKS / f"{name}.lock", folder / name
    stamp, wanted = home / "installed.txt", f"{sys.version_info[:2]} {hashlib.sha256(lock.read_bytes()).hexdigest()}"
    if not stamp.exists() or stamp.read_text() != wanted:
        if not _install(home, lock):
            return None
        stamp.write_text(wanted)
    found = home / "bin" / command
    return str(found) if found.exists() else None


def _install(home: Path, lock: Path) -> bool:
    """Where the environment can have no pip of its own, that of the Python it is made from installs into it."""
    print(f"installing {lock.name} into {home} …", file=sys.stderr)  # noqa: T201 -- a minute of silence otherwise
    own_pip = importlib.util.find_spec("ensurepip") is not None
    venv.EnvBuilder(clear=True, symlinks=True, with_pip=own_pip).create(home)
    python = str(home / "bin" / "python")
    pip = [python, "-m", "pip"] if own_pip else [_base_python(), "-m", "pip", "--python", python]
    quietly = ["--quiet", "--disable-pip-version-check", "--require-hashes"]
    return _succeeds([*pip, "install", *quietly, "-r", str(lock)])


def _base_python() -> str:
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    return str(Path(sys.base_prefix) / "bin" / version)


def debian(name: str, folder: Path = FOLDER) -> str | None:
    """The program of that name in Debian's package of that name, which is unpacked if need be."""
    home = folder / name
    unpacked = home / "usr" / "sbin" / name
    if unpacked.exists():
        return str(unpacked)
    home.mkdir(parents=True, exist_ok=True)
    if not shutil.which("apt-get") or not _succeeds(["apt-get", "-qq", "download", name], cwd=home):
        return None
    unpacks = all(_succeeds(["dpkg", "-x", str(package), str(home)]) for package in home.glob(f"{name}_*.deb"))
    return str(unpacked) if unpacks and _succeeds([str(unpacked), "-v"]) else None


def _succeeds(argv: list[str], cwd: Path | None = None) -> bool:
    """What it says goes to stderr; one that hangs has failed."""
    try:
        done = subprocess.run(argv, cwd=cwd, check=False, stdout=sys.stderr, timeout=INSTALL_TIMEOUT_S)  # noqa: S603 -- ours
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0
