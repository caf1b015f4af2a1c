"""Make `.venv` and install a hash-pinned lock file and this project into it; do nothing if that is done already.

Usage: python3 scripts/install.py LOCK [FOLDER]. With a FOLDER that one is made, and this project is not installed.
Standard library only, and no more of Debian than python3 and pip: where `ensurepip` is missing (the package
python3-venv), the pip that is there installs into the environment.
"""

import hashlib
import importlib.util
import subprocess
import sys
import venv
from pathlib import Path

OLDEST = (3, 11)
ROOT = Path(__file__).resolve().parent.parent
OURS = ROOT / ".venv"


def main() -> int:
    if sys.version_info < OLDEST:
        return fail(f"Farebox needs Python {OLDEST[0]}.{OLDEST[1]} or newer, this is {sys.version.split()[0]}")
    lock, folder = ROOT / sys.argv[1], ROOT / sys.argv[2] if sys.argv[2:] else OURS
    project = [ROOT / "pyproject.toml"] if folder == OURS else []
    wanted = f"{sys.version_info[:2]} {' '.join(map(digest, [lock, *project]))} {lock.name}\n"
    stamp = folder / "installed.txt"
    if stamp.exists() and wanted in stamp.read_text():
        return 0
    print(f"installing {lock.name} into {folder} …", file=sys.stderr)
    pip = environment(folder)
    if pip is None:
        return fail("pip is missing: install it (on Debian: apt install python3-pip) and try again")
    editable = [["--no-deps", "--no-build-isolation", "-e", str(ROOT)]] if project else []
    for arguments in (["--require-hashes", "-r", str(lock)], *editable):
        command = [*pip, "install", "--quiet", "--disable-pip-version-check", *arguments]
        if subprocess.run(command, check=False).returncode != 0:
            return fail("pip could not install what is needed; what it said is above")
    remember(stamp, wanted, lock.name)
    return 0


def environment(folder: Path) -> list[str] | None:
    """Make the environment; the command with which to install into it, or None if there is no pip at all."""
    python = folder / "bin" / "python"
    has_pip = importlib.util.find_spec("pip") is not None
    if not python.exists() or not runs_this_version(python):
        venv.EnvBuilder(clear=True, symlinks=True, with_pip=not has_pip and has_ensurepip()).create(folder)
    if has_pip:
        return [sys.executable, "-m", "pip", "--python", str(python)]
    return [str(python), "-m", "pip"] if has_ensurepip() else None


def has_ensurepip() -> bool:
    return importlib.util.find_spec("ensurepip") is not None


def runs_this_version(python: Path) -> bool:
    asked = subprocess.run(
        [python, "-c", "import sys; print(sys.version_info[:2])"], check=False, capture_output=True, text=True
    )
    return asked.stdout.strip() == str(sys.version_info[:2])


def remember(stamp: Path, wanted: str, lock: str) -> None:
    known = stamp.read_text().splitlines(keepends=True) if stamp.exists() else []
    stamp.write_text("".join(line for line in known if not line.endswith(f" {lock}\n")) + wanted)


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def fail(message: str) -> int:
    print(f"farebox: {message}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
