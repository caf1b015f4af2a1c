"""What `farebox up` was asked for."""

from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from proxy.cli import local
from proxy.cli.local import up_command
from proxy.local.parts import Say
from proxy.local.up import Wanted


def wanted(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> Wanted:
    """What the command asks for, instead of starting it."""
    asked: list[Wanted] = []

    async def up(what: Wanted, say: Say) -> None:
        assert say is click.echo
        asked.append(what)

    monkeypatch.setattr(local, "up", up)
    result = CliRunner().invoke(up_command, arguments)
    assert result.exit_code == 0, result.output
    (only,) = asked
    return only


def test_the_defaults_of_the_contract(monkeypatch: pytest.MonkeyPatch) -> None:
    assert wanted(monkeypatch) == Wanted(None, "generic", "127.0.0.1", 8080, Path(".farebox"), 1, False)


def test_everything_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    arguments = ["--upstream", "http://h/v1", "--upstream-kind", "vllm", "--host", "::1", "--port", "80"]
    arguments += ["--workers", "2", "--reset", "--data"]
    asked = wanted(monkeypatch, *arguments, str(tmp_path))
    assert asked == Wanted("http://h/v1", "vllm", "::1", 80, tmp_path, 2, True)


@pytest.mark.parametrize("arguments", [["--upstream-kind", "gpt"], ["--port", "0"], ["--workers", "0"], ["surplus"]])
def test_what_cannot_be_asked_for(arguments: list[str]) -> None:
    assert CliRunner().invoke(up_command, arguments).exit_code == 2
