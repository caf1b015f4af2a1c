"""Programs of others: what is there is not made again."""

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import environments


@pytest.fixture(autouse=True)
def nothing_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object, **__: object) -> None:
        raise OSError("nothing is installed by a test")

    monkeypatch.setattr(subprocess, "run", refused)
    monkeypatch.setattr("venv.EnvBuilder.create", lambda _, home: Path(home).mkdir(parents=True, exist_ok=True))
    monkeypatch.setattr("shutil.which", lambda _: None)


def made(folder: Path, name: str, pins: bytes) -> Path:
    program = folder / name / "bin" / name
    program.parent.mkdir(parents=True)
    program.touch()
    stamp = f"{sys.version_info[:2]} {hashlib.sha256(pins).hexdigest()}"
    (folder / name / "installed.txt").write_text(stamp)
    return program


def test_an_environment_that_is_there_is_used(tmp_path: Path) -> None:
    program = made(tmp_path, "envoy", (environments.LOCKS / "envoy.lock").read_bytes())
    assert environments.program("envoy", "envoy", tmp_path) == str(program)


def test_one_of_other_versions_is_made_anew_or_is_none(tmp_path: Path) -> None:
    made(tmp_path, "envoy", b"another version")
    assert environments.program("envoy", "envoy", tmp_path) is None


def test_what_cannot_be_had_is_none(tmp_path: Path) -> None:
    assert environments.program("litellm", "litellm", tmp_path) is None
    assert environments.debian("nginx", tmp_path) is None
