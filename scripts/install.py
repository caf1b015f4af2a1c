"""Make `.venv` and install a hash-pinned lock file and this project into it; do nothing if that is done already.

Usage: python3 scripts/install.py LOCK. Standard library only, and no more of Debian than python3 and pip: where
`ensurepip` is missing (the package python3-venv), the pip that is there installs into the environment.
"""

import hashlib
import importlib.util
import subprocess
import sys
import venv
from pathlib import Path

OLDEST = (3, 11)
ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
STAMP = VENV / "installed.txt"


def main() -> int:
    if sys.version_info < OLDEST:
        return fail(f"Farebox needs Python {OLDEST[0]}.{OLDEST[1]} or newer, this is {sys.version.split()[0]}")
    lock = ROOT / sys.argv[1]
    wanted = f"{sys.version_info[:2]} {digest(lock)} {digest(ROOT / 'pyproject.toml')} {lock.name}\n"
    if STAMP.exists() and wanted in STAMP.read_text():
        return 0
    print(f"installing {lock.name} into {VENV.name} …", file=sys.stderr)
    pip = environment()
    if pip is None:
        return fail("pip is missing: install it (on Debian: apt install python3-pip) and try again")
    for arguments in (["--require-hashes", "-r", str(lock)], ["--no-deps", "--no-build-isolation", "-e", str(ROOT)]):
        command = [*pip, "install", "--quiet", "--disable-pip-version-check", *arguments]
        if subprocess.run(command, check=False).returncode != 0:
            return fail("pip could not install what is needed; what it said is above")
    remember(wanted, lock.name)
    return 0


def environment() -> list[str] | None:
    """Make the environment; the command with which to install into it, or None if there is no pip at all."""
    has_pip = importlib.util.find_spec("pip") is not None
    if not PYTHON.exists() or not runs_this_version():
        venv.EnvBuilder(clear=True, symlinks=True, with_pip=not has_pip and has_ensurepip()).create(VENV)
    if has_pip:
        return [sys.executable, "-m", "pip", "--python", str(PYTHON)]
    return [str(PYTHON), "-m", "pip"] if has_ensurepip() else None


def has_ensurepip() -> bool:
    return importlib.util.find_spec("ensurepip") is not None


def runs_this_version() -> bool:
    asked = subprocess.run(
        [PYTHON, "-c", "import sys; print(sys.version_info[:2])"], check=False, capture_output=True, text=True
    )
    return asked.stdout.strip() == str(sys.version_info[:2])


def remember(wanted: str, lock: str) -> None:
    known = STAMP.read_text().splitlines(keepends=True) if STAMP.exists() else []
    STAMP.write_text("".join(line for line in known if not line.endswith(f" {lock}\n")) + wanted)


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def fail(message: str) -> int:
    print(f"farebox: {message}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
