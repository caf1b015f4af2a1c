"""How commands begin and end: what an operator can mend is said in a line, with the exit code of the contract."""

import subprocess
import sys
from importlib import import_module
from pathlib import Path

import asyncpg
import click
import pytest
from redis.exceptions import ConnectionError as RedisGone

from accounts.errors import KeyNotFound
from ledger.errors import InvalidAmount
from ledger.migrate import MigrationError
from proxy import cli
from proxy.process.starting import StartError
from runtime.config import ConfigError
from runtime.embedded.errors import EmbeddedServerError


def ended(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> object:
    """The exit code of a command that raises this."""

    def command(*, prog_name: str) -> None:
        assert prog_name == "farebox"
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
    def command(*, prog_name: str) -> None:
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
    visible = {name for name, command in commands().items() if not command.hidden}
    wanted = {"up", "serve", "ledger", "migrate", "check-config", "keys", "credits", "token", "audit", "simulate"}
    assert wanted <= visible


def test_each_module_has_the_commands_that_it_is_asked_for() -> None:
    homes = {name: home for home in modules() for name in names_in(home)}
    assert homes == cli._HOMES


def commands() -> dict[str, click.Command]:
    context = click.Context(cli.cli)
    found = {name: cli.cli.get_command(context, name) for name in cli.cli.list_commands(context)}
    return {name: command for name, command in found.items() if command is not None}


def modules() -> list[str]:
    """Those that hold commands; the others hold what these share."""
    names = [path.stem for path in Path(cli.__file__).parent.glob("*.py") if path.stem != "__init__"]
    return [name for name in names if hasattr(import_module(f"proxy.cli.{name}"), "COMMANDS")]


def names_in(home: str) -> list[str]:
    return [command.name for command in import_module(f"proxy.cli.{home}").COMMANDS]


def test_whoever_only_starts_workers_loads_nothing_of_what_they_serve() -> None:
    """A start of several would take twice as long."""
    loaded = loaded_by("proxy.cli.serve")
    assert "proxy.process.workers" in loaded
    assert not loaded & {"proxy.app", "aiohttp", "asyncpg", "redis"}


def test_a_proxy_without_stripe_does_without_its_sdk() -> None:
    """Which would take a tenth of a second of every start, and ten megabytes."""
    loaded = loaded_by("proxy.app")
    assert "proxy.account_api" in loaded
    assert not loaded & {"stripe", "requests", "jinja2", "tokenizers", "runtime.simulator", "proxy.background"}


def loaded_by(module: str) -> set[str]:
    """The names of all that a fresh interpreter has imported for it."""
    say = f"import {module}, sys; print(*sys.modules)"
    ran = subprocess.run([sys.executable, "-c", say], capture_output=True, text=True, check=True)
    return set(ran.stdout.split())
