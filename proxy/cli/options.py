"""Options and ways to print that several commands share."""

import asyncio
import os
import pwd
import sys
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import click
import orjson
import uvloop

from ledger.money import MoneyError, Nanos, format_dollars, parse_dollars

T = TypeVar("T")

# Where `farebox up` keeps its configuration: commands typed beside it mean that installation.
LOCAL_CONFIG = Path(".farebox/config.yaml")
_CONFIG = Path("config.yaml")


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a command's coroutine on uvloop."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)


def _default_config() -> Path | None:
    return next((path for path in (LOCAL_CONFIG, _CONFIG) if path.exists()), None)


def config_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """`--config`; without it the local installation's, or config.yaml, or the environment alone."""
    return click.option(
        "--config",
        type=click.Path(path_type=Path, dir_okay=False),
        envvar="FAREBOX_CONFIG",
        default=_default_config,
        show_default=f"{LOCAL_CONFIG} or {_CONFIG}",
    )(command)


# A server's is always named: it does not take up what somebody tried in the folder where it was started.
server_config_option = click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    envvar="FAREBOX_CONFIG",
    default=_CONFIG,
    show_default=True,
)


def operator() -> str:
    """Who types this, for the log of acts: `cli:` and the name of the operating system's user."""
    try:
        return f"cli:{pwd.getpwuid(os.getuid()).pw_name}"
    except KeyError:  # in a container a user may have a number only
        return f"cli:{os.getuid()}"


json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def print_result(result: Any, as_json: bool, text: str) -> None:
    """`result` as JSON, or `text` for people. UUIDs and times become strings, absent values null."""
    click.echo(orjson.dumps(result, option=orjson.OPT_INDENT_2, default=str).decode() if as_json else text)


def progress(label: str, steps: int) -> Any:
    """A bar on the terminal, and nothing where standard error is none."""
    stream = sys.stderr
    return click.progressbar(length=steps, label=label, file=stream, hidden=not stream.isatty())


def json_dollars(nanos: int) -> orjson.Fragment:
    """A JSON number of dollars, exact to nine decimals."""
    return orjson.Fragment(format_dollars(nanos))


class Dollars(click.ParamType[Nanos]):
    """An exact amount of dollars, as nano-dollars."""

    name = "USD"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Nanos:
        try:
            return parse_dollars(value)
        except MoneyError as error:
            self.fail(str(error), param, ctx)


class Moment(click.ParamType[datetime]):
    """An ISO 8601 date or time; without an offset, UTC."""

    name = "ISO"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            self.fail(f"{value!r} is not an ISO 8601 date or time", param, ctx)
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


_DURATION_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


class Duration(click.ParamType[timedelta]):
    """`90s`, `15m`, `1h`, `30d`."""

    name = "DURATION"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        if isinstance(value, timedelta):
            return value
        number, unit = value[:-1], value[-1:]
        if not number.isdecimal() or unit not in _DURATION_UNITS or len(number) > _MAX_DURATION_DIGITS:
            self.fail(f"{value!r} is not a number of s, m, h or d", param, ctx)
        return timedelta(seconds=int(number) * _DURATION_UNITS[unit])


_MAX_DURATION_DIGITS = 5
