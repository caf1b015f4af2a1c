"""What is typed, as values; what is printed, exactly."""

import json
import os
import pwd
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from uuid import UUID

import click
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from ledger.money import MAX_NANOS, to_decimal
from proxy.cli.options import (
    LOCAL_CONFIG,
    Dollars,
    Duration,
    Moment,
    config_option,
    json_dollars,
    operator,
    print_result,
    run,
)


@click.command()
@config_option
def show_config(config: Path | None) -> None:
    click.echo(str(config))


def shown(folder: Path, *arguments: str, **environ: str) -> str:
    runner = CliRunner()
    before = Path.cwd()
    os.chdir(folder)
    try:
        result = runner.invoke(show_config, arguments, env={"FAREBOX_CONFIG": None, **environ})
    finally:
        os.chdir(before)
    assert result.exit_code == 0, result.output
    return result.output.strip()


def test_which_configuration_is_meant(tmp_path: Path) -> None:
    """Said outright, then named by the environment, then the local installation's, then config.yaml, then none."""
    assert shown(tmp_path) == "None"
    (tmp_path / "config.yaml").touch()
    assert shown(tmp_path) == "config.yaml"
    (tmp_path / LOCAL_CONFIG).parent.mkdir()
    (tmp_path / LOCAL_CONFIG).touch()
    assert shown(tmp_path) == str(LOCAL_CONFIG)
    assert shown(tmp_path, FAREBOX_CONFIG="env.yaml") == "env.yaml"
    assert shown(tmp_path, "--config", "said.yaml", FAREBOX_CONFIG="env.yaml") == "said.yaml"


@given(st.integers(-MAX_NANOS, MAX_NANOS))
def test_dollars_are_typed_and_printed_exactly(nanos: int) -> None:
    assert Dollars().convert(str(to_decimal(nanos)), None, None) == nanos
    printed = capture({"balance": json_dollars(nanos)}, as_json=True)
    assert json.loads(printed, parse_float=Decimal, parse_int=Decimal) == {"balance": to_decimal(nanos)}


@pytest.mark.parametrize("text", ["ten", "NaN", "1e309", "0.0000000001", "", "1,5"])
def test_what_is_no_amount(text: str) -> None:
    with pytest.raises(click.BadParameter):
        Dollars().convert(text, None, None)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-01-02", datetime(2026, 1, 2, tzinfo=UTC)),
        ("2026-01-02T03:04:05", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ("2026-01-02T03:04:05Z", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ("2026-01-02T03:04:05+02:00", datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone(timedelta(hours=2)))),
    ],
)
def test_a_moment_without_an_offset_is_utc(text: str, moment: datetime) -> None:
    converted = Moment().convert(text, None, None)
    assert converted == moment and converted.utcoffset() == moment.utcoffset()


@pytest.mark.parametrize("text", ["tomorrow", "2026-13-01", "1767225600", ""])
def test_what_is_no_moment(text: str) -> None:
    with pytest.raises(click.BadParameter, match="ISO 8601"):
        Moment().convert(text, None, None)


def capture(result: object, *, as_json: bool) -> str:
    @click.command()
    def command() -> None:
        print_result(result, as_json, "for people")

    return CliRunner().invoke(command).output


def test_for_people_the_text_and_for_programs_the_json() -> None:
    result = {"id": UUID(int=1), "at": datetime(2026, 1, 2, tzinfo=UTC), "absent": None}
    assert capture(result, as_json=False) == "for people\n"
    assert json.loads(capture(result, as_json=True)) == {
        "id": "00000000-0000-0000-0000-000000000001",
        "at": "2026-01-02T00:00:00+00:00",
        "absent": None,
    }


def test_a_commands_coroutine_is_run() -> None:
    async def work() -> int:
        return 7

    assert run(work()) == 7


@pytest.mark.parametrize(
    ("text", "duration"),
    [
        ("90s", timedelta(seconds=90)),
        ("15m", timedelta(minutes=15)),
        ("1h", timedelta(hours=1)),
        ("30d", timedelta(days=30)),
    ],
)
def test_a_duration(text: str, duration: timedelta) -> None:
    assert Duration().convert(text, None, None) == duration
    assert Duration().convert(duration, None, None) == duration


@pytest.mark.parametrize("text", ["", "h", "1", "1.5h", "-1h", "1w", "1 h", "999999d", "²h"])
def test_no_duration(text: str) -> None:
    with pytest.raises(click.BadParameter):
        Duration().convert(text, None, None)


def test_who_types_is_named_by_the_system_and_not_by_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("USER", "somebody-else")
    monkeypatch.setenv("LOGNAME", "somebody-else")
    assert operator() == f"cli:{pwd.getpwuid(os.getuid()).pw_name}"
    monkeypatch.setattr(os, "getuid", lambda: 4_000_000_001)
    assert operator() == "cli:4000000001"
