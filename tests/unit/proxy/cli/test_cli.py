"""How commands begin and end: what an operator can mend is said in a line, with the exit code of the contract."""

import sys

import asyncpg
import pytest
from redis.exceptions import ConnectionError as RedisGone

from accounts.errors import KeyNotFound
from ledger.errors import InvalidAmount
from ledger.migrate import MigrationError
from proxy import cli
from proxy.backends import StartError
from runtime.config import ConfigError
from runtime.embedded.errors import EmbeddedServerError


def ended(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> object:
    """The exit code of a command that raises this."""

    def command(*, standalone_mode: bool) -> None:
        assert standalone_mode
        raise error

    monkeypatch.setattr(cli, "cli", command)
    with pytest.raises(SystemExit) as caught:
        cli.main()
    return caught.value.code


@pytest.mark.parametrize(
    "error",
    [
        StartError("words"),
        EmbeddedServerError("words"),
        MigrationError("words"),
        InvalidAmount("words"),
        KeyNotFound("words"),
        ConnectionRefusedError("words"),
        asyncpg.UndefinedTableError("words"),
        RedisGone("words"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_can_be_mended_is_said_in_a_line(
    error: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ended(monkeypatch, error) == 1
    said = capsys.readouterr()
    assert said.out == "" and said.err.startswith("farebox: ") and said.err.endswith("words\n")
    assert said.err.count("\n") == 1


def test_every_mistake_in_a_configuration_gets_its_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ended(monkeypatch, ConfigError(["a: wrong", "b: missing"])) == 2
    assert capsys.readouterr().err == "config: a: wrong\nconfig: b: missing\n"


def test_a_fault_of_ours_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def command(*, standalone_mode: bool) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(cli, "cli", command)
    with pytest.raises(ZeroDivisionError):
        cli.main()


@pytest.mark.parametrize("arguments", [["--no-such-option"], ["no-such-command"], ["keys", "create"]])
def test_wrong_usage(arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["farebox", *arguments])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    assert caught.value.code == 2 and "Usage: farebox" in capsys.readouterr().err


def test_the_commands_of_the_contract() -> None:
    visible = {name for name, command in cli.cli.commands.items() if not command.hidden}
    wanted = {"up", "serve", "ledger", "migrate", "check-config", "keys", "credits", "token", "audit", "simulate"}
    assert wanted <= visible
