"""Environments of their own for what is not part of Farebox: pinned by hash, made when first asked for.

Standard library only.
"""

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
_FOLDER = ROOT / ".tools"


def environment(name: str, lock: Path) -> Path:
    """The folder of programs of an environment that has what `lock` says and nothing else, not even pip."""
    home = _FOLDER / name
    installed = home / "installed.lock"
    if not (installed.exists() and installed.read_bytes() == lock.read_bytes()):
        subprocess.run([sys.executable, "-m", "venv", "--clear", "--without-pip", home], check=True)
        pip(home / "bin", "install", "--require-hashes", "-r", lock)
        shutil.copyfile(lock, installed)
    return home / "bin"


def pip(programs: Path, *arguments: str | Path) -> None:
    """In the environment that these programs belong to."""
    command = [sys.executable, "-m", "pip", "--python", programs / "python", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*command, *arguments], check=True)
