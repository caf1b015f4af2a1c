"""What is typed for keys, credits and tokens; what they do is in tests/integration/test_accounts_*.py."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import click
import jwt
import pytest
from click.testing import CliRunner, Result

from accounts.errors import NotConfigured
from accounts.keys import ApiKey
from proxy.cli.accounts import Duration, _key_line, credits, token

SECRET = "s" * 32
USER = "00000000-0000-0000-0000-000000000007"
KEY = ApiKey(UUID(int=1), "pp_live-AAAAAAA", "mine", 60, 1000, True, None, datetime(2026, 1, 1, tzinfo=UTC), None)


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


def test_a_key_in_one_line_never_the_key_itself() -> None:
    line = _key_line(KEY)
    assert str(KEY.id) in line and "pp_live-AAAAAAA…" in line
    assert "active" in line and "60/min 1000/day" in line and "never used" in line and line.endswith("mine")
    used = replace(KEY, is_active=False, last_used_at=datetime(2026, 2, 3, 4, 5, tzinfo=UTC))
    assert "revoked" in _key_line(used) and "2026-02-03 04:05" in _key_line(used)


def mint(config: Path, *arguments: str) -> Result:
    return CliRunner().invoke(
        token, ["--user", USER, "--config", str(config), *arguments], env={"FAREBOX_JWT_SECRET": ""}
    )


def test_a_token_is_minted_without_any_server(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(f"identity: {{jwt_secret: {SECRET}}}\ndatabase: {{url: not even looked at}}\n")
    result = mint(config, "--json", "--ttl", "15m", "--email", "a@example.org")
    assert result.exit_code == 0, result.output
    claims = jwt.decode(json.loads(result.output)["token"], SECRET, algorithms=["HS256"])
    assert (claims["sub"], claims["email"], claims["exp"] - claims["iat"]) == (USER, "a@example.org", 900)


def test_no_token_without_a_secret(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("{}")
    assert isinstance(mint(config).exception, NotConfigured)


def test_a_balance_below_nothing_is_refused_before_anybody_is_asked() -> None:
    arguments = ["set", "--user", USER, "--amount", "-0.000000001", "--description", "x", "--config", "/no/such/file"]
    result = CliRunner().invoke(credits, arguments)
    assert result.exit_code == 2 and "must not be negative" in result.output
