"""Programs of others, each in a folder of its own under .bench: pinned Python packages, or a package of Debian's.

    PYTHON -m benchmarks.environments [OPTION ...]

is `make bench` by the interpreter PYTHON: it makes an environment for Farebox too, which is not the one that is
developed in, and starts `benchmarks.bench` with the options there. Everything that is Python runs on that interpreter.

Nothing is installed into the system. What cannot be had is None. Standard library only.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
LOCKS = Path(__file__).parent / "contenders"
FOLDER = ROOT / ".bench"
INSTALL_TIMEOUT_S = 900.0


def interpreter() -> str:
    """The one that environments are made from, in one or outside."""
    return str(Path(sys.base_prefix) / "bin" / f"python{sys.version_info.major}.{sys.version_info.minor}")


def contender(name: str) -> str | None:
    """Its program: on PATH, or among Debian's servers, or got."""
    if found := shutil.which(name, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin"):
        return found
    return debian(name) if name == "nginx" else program(LOCKS / f"{name}.lock", name)


def program(lock: Path, command: str, folder: Path = FOLDER) -> str | None:
    """The program `command` of the environment that `lock` describes, which is made if need be; one for each
    interpreter."""
    home = folder / interpreter().lstrip("/").replace("/", "-") / lock.stem
    installs = [interpreter(), str(ROOT / "scripts" / "install.py"), str(lock), str(home)]
    found = home / "bin" / command
    return str(found) if _succeeds(installs) and found.exists() else None


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


def main() -> None:
    python = program(ROOT / "requirements-dev.lock", "python")
    if python is None:
        sys.exit("farebox: the benchmark's own environment could not be made; why is above")
    os.chdir(ROOT)  # where the modules are
    os.execv(python, [python, "-m", "benchmarks.bench", *sys.argv[1:]])  # noqa: S606 -- ours


if __name__ == "__main__":
    main()
