"""The commands an operator types: what they do, what they print, how they end."""

import json
import os
import socket
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import jwt
import pytest
import yaml

from proxy import cli
from tests.support.program import JWT_SECRET, UPSTREAM_KEY, Program, configuration, environment

NOWHERE = "http://127.0.0.1:1/v1"
NO_NUMBERS = ["NaN", "nan", "Infinity", "-Infinity", "abc", "", "$5", "1,5"]
OUT_OF_RANGE = ["1e309", "1e7", "9000000.000000001", "0.0000000001", "-1", "-0.000000001"]


@dataclass(frozen=True)
class Ended:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out, parse_float=Decimal)


Farebox = Callable[..., Ended]


@pytest.fixture
def config(database_url: str, redis_url: str, tmp_path: Path) -> Path:
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(configuration(database_url, redis_url, NOWHERE, NOWHERE)))
    return path


@pytest.fixture
def farebox(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> Farebox:
    """Runs a command as `farebox` does, in this process: a second saved each time."""
    for name in os.environ.keys() - environment().keys():
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object) -> Ended:
        monkeypatch.setattr("sys.argv", ["farebox", *map(str, arguments)])
        code: Any = 0
        try:
            cli.main()
        except SystemExit as end:
            code = end.code
        out, err = capfd.readouterr()
        assert isinstance(code, int)
        return Ended(code, out, err)

    return run


# Keys


def test_a_key_is_made_shown_once_listed_and_revoked(farebox: Farebox, config: Path) -> None:
    user = uuid4()
    options = ("--rpm", 7, "--rpd", 70, "--expires", "2099-01-02T03:04:05")
    made = farebox("keys", "create", "--user", user, "--name", "first", *options, "--config", config, "--json")
    assert made.code == 0
    key = made.json["api_key"]
    assert key.startswith("pp_live-") and len(key) == 40
    assert made.json["key_prefix"] == key[:15]
    assert (made.json["rate_limit_per_minute"], made.json["rate_limit_per_day"]) == (7, 70)
    assert datetime.fromisoformat(made.json["expires_at"]) == datetime(2099, 1, 2, 3, 4, 5, tzinfo=UTC)

    second = farebox("keys", "create", "--user", user, "--name", "second", "--config", config)
    assert second.code == 0 and second.out.startswith("pp_live-")

    listed = farebox("keys", "list", "--user", user, "--config", config, "--json")
    assert [row["name"] for row in listed.json] == ["second", "first"]
    assert key not in listed.out and "hash" not in listed.out and "$2b$" not in listed.out
    assert [row["is_active"] for row in listed.json] == [True, True]

    assert farebox("keys", "revoke", made.json["id"], "--config", config, "--json").json["is_active"] is False
    assert farebox("keys", "revoke", made.json["id"], "--config", config).code == 0  # once more changes nothing
    listed = farebox("keys", "list", "--user", user, "--config", config, "--json")
    assert {row["name"]: row["is_active"] for row in listed.json} == {"first": False, "second": True}
    assert "revoked" in farebox("keys", "list", "--user", user, "--config", config).out


def test_a_key_that_is_not_there_cannot_be_revoked(farebox: Farebox, config: Path) -> None:
    ended = farebox("keys", "revoke", uuid4(), "--config", config)
    assert (ended.code, ended.out) == (1, "")
    assert ended.err.startswith("farebox: there is no key ")


@pytest.mark.parametrize(
    "options",
    [
        ("--user", "nobody", "--name", "x"),
        ("--user", uuid4()),
        ("--name", "x"),
        ("--user", uuid4(), "--name", "x", "--rpm", -1),
        ("--user", uuid4(), "--name", "x", "--rpm", "1.5"),
        ("--user", uuid4(), "--name", "x", "--rpd", 10**9),
        ("--user", uuid4(), "--name", "x", "--expires", "tomorrow"),
        ("--user", uuid4(), "--name", "x", "--no-such-option"),
    ],
    ids=lambda options: " ".join(str(o) for o in options if not isinstance(o, UUID)),
)
def test_a_key_is_not_made_of_nonsense(farebox: Farebox, config: Path, options: tuple[Any, ...]) -> None:
    assert farebox("keys", "create", *options, "--config", config).code == 2


# Credits


def test_credits_move_a_balance_by_what_was_said(farebox: Farebox, config: Path) -> None:
    user = uuid4()
    amount = ("--user", user, "--config", config, "--description", "why", "--json", "--amount")
    assert farebox("credits", "bonus", *amount, "1.000000001").json["balance"] == Decimal("1.000000001")
    assert farebox("credits", "bonus", *amount, "2").json["balance"] == Decimal("3.000000001")
    assert farebox("credits", "set", *amount, "0.5").json["balance"] == Decimal("0.5")
    assert farebox("credits", "set", *amount, "0.5").json["balance"] == Decimal("0.5")
    assert farebox("credits", "set", *amount, "0").json["balance"] == 0
    found = farebox("credits", "bonus", *amount, "8999999").json
    assert (found["user_id"], found["balance"]) == (str(user), 8_999_999)
    audited = farebox("audit", "--config", config, "--json")
    assert (audited.code, audited.json["holds"]) == (0, True)


@pytest.mark.parametrize("amount", [*NO_NUMBERS, *OUT_OF_RANGE])
@pytest.mark.parametrize("what", ["bonus", "set"])
def test_an_amount_that_is_no_amount_is_refused(farebox: Farebox, config: Path, what: str, amount: str) -> None:
    user = uuid4()
    ended = farebox("credits", what, "--user", user, "--description", "why", "--config", config, f"--amount={amount}")
    assert ended.code == 2, ended
    assert "Traceback" not in ended.err
    listed = farebox("audit", "--config", config, "--json")
    assert listed.json["holds"] is True


@pytest.mark.parametrize("amount", ["1_0", "\u0661\u0662"])
def test_an_amount_is_written_in_plain_digits(farebox: Farebox, config: Path, amount: str) -> None:
    ended = farebox("credits", "bonus", "--user", uuid4(), "--description", "x", "--config", config, "--amount", amount)
    assert ended.code == 2


@pytest.mark.parametrize(("amount", "code"), [("0", 2), ("9000000", 0)])
def test_the_edges_of_a_bonus(farebox: Farebox, config: Path, amount: str, code: int) -> None:
    common = ("--user", uuid4(), "--description", "why", "--config", config, f"--amount={amount}")
    assert farebox("credits", "bonus", *common).code == code


def test_more_than_a_wallet_can_hold_is_refused(farebox: Farebox, config: Path) -> None:
    common = ("--user", uuid4(), "--description", "why", "--config", config, "--json")
    assert farebox("credits", "bonus", *common, "--amount", "9000000").code == 0
    ended = farebox("credits", "bonus", *common, "--amount", "0.000000001")
    assert ended.code == 1
    assert ended.err.startswith("farebox: ") and len(ended.err.splitlines()) == 1


# Tokens


def test_a_token_is_signed_for_a_user_and_a_time(farebox: Farebox, config: Path) -> None:
    user = uuid4()
    ended = farebox("token", "--user", user, "--email", "a@b.c", "--ttl", "15m", "--config", config, "--json")
    claims = jwt.decode(ended.json["token"], JWT_SECRET, algorithms=["HS256"])
    assert (claims["sub"], claims["email"]) == (str(user), "a@b.c")
    assert claims["exp"] - claims["iat"] == 15 * 60
    assert farebox("token", "--user", user, "--config", config).out.count(".") == 2
    for ttl in ("0", "1y", "-1h", "h", "1.5h", "99999999d"):
        assert farebox("token", "--user", user, f"--ttl={ttl}", "--config", config).code == 2, ttl


def test_without_a_secret_no_token_is_made(farebox: Farebox, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("identity: {}")
    ended = farebox("token", "--user", uuid4(), "--config", tmp_path / "config.yaml")
    assert (ended.code, ended.out) == (1, "")
    assert "identity.jwt_secret" in ended.err


# The books


@pytest.fixture
async def broken(database_url: str, redis_url: str, tmp_path: Path) -> Path:
    """A configuration for a database with a wallet that has a nano-dollar too much."""
    connection = await asyncpg.connect(database_url)
    try:
        await connection.execute("INSERT INTO ai_wallets (user_id) VALUES ($1)", uuid4())
        await connection.execute("ALTER TABLE ai_wallets DISABLE TRIGGER ALL")
        await connection.execute("UPDATE ai_wallets SET balance = balance + 0.000000001")
    finally:
        await connection.close()
    path = tmp_path / "broken.yaml"
    path.write_text(yaml.safe_dump(configuration(database_url, redis_url, NOWHERE, NOWHERE)))
    return path


def test_the_audit_names_what_is_wrong_and_fails(farebox: Farebox, broken: Path) -> None:
    ended = farebox("audit", "--config", broken, "--json")
    assert ended.code == 1
    assert ended.json["holds"] is False
    assert list(ended.json["broken"]) == ["balance_is_the_sum_of_transactions"]
    (violation,) = ended.json["violations"]
    UUID(violation["wallet_id"])
    ended = farebox("audit", "--config", broken)
    assert ended.code == 1
    assert "BROKEN" in ended.out and violation["wallet_id"] in ended.out and "the books are WRONG" in ended.out
    assert farebox("audit", "--since", "2099-01-01", "--config", broken).code == 0


def test_an_empty_database_is_audited(farebox: Farebox, config: Path) -> None:
    ended = farebox("audit", "--config", config)
    assert (ended.code, "the books are right" in ended.out) == (0, True)


def test_migrations_are_applied_once(farebox: Farebox, config: Path) -> None:
    """The database was migrated when it was made."""
    assert farebox("migrate", "--config", config, "--json").json == {"applied": []}
    assert farebox("migrate", "--config", config).out.strip() == "up to date"


# Configuration


def test_a_good_configuration_is_ok(farebox: Farebox, config: Path) -> None:
    assert farebox("check-config", "--config", config, "--json").json == {"ok": True}
    assert farebox("check-config", "--config", config).code == 0


def test_every_mistake_is_said_at_once_by_its_path_and_no_secret_with_it(farebox: Farebox, tmp_path: Path) -> None:
    bad = {
        "listen": {"port": 70_000, "hots": "127.0.0.1"},
        "database": {"url": "mysql://user:secret-password@host/db"},
        "redis": {},
        "keys": {"pepper": "too-short-pepper", "prefix": "pp"},
        "upstreams": [{"url": f"http://user:{UPSTREAM_KEY}@host/v1", "max_output_tokens": 0}],
        "nonsense": 1,
        "log": {"level": "${NO_SUCH_VARIABLE_ANYWHERE}"},
    }
    path = tmp_path / "bad.yaml"
    path.write_text(yaml.safe_dump(bad))
    ended = farebox("check-config", "--config", path)
    assert (ended.code, ended.out) == (2, "")
    lines = ended.err.splitlines()
    for dotted in (
        "listen.port",
        "listen.hots",
        "database.url",
        "redis.url",
        "keys.pepper",
        "keys.prefix",
        "upstreams.0.url",
        "upstreams.0.max_output_tokens",
        "nonsense",
        "log.level",
    ):
        assert sum(line.startswith(f"config: {dotted}: ") for line in lines) == 1, (dotted, lines)
    assert any("did you mean host?" in line for line in lines)
    for secret in ("secret-password", "too-short-pepper", UPSTREAM_KEY):
        assert secret not in ended.err


@pytest.mark.parametrize("content", [None, "listen: [", "- 1", "7", "\x00"])
def test_a_file_that_is_no_configuration_is_refused(farebox: Farebox, tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "config.yaml"
    if content is not None:
        path.write_text(content)
    for command in ("check-config", "serve", "ledger", "audit", "migrate"):
        ended = farebox(command, "--config", path)
        assert (ended.code, ended.out) == (2, "")
        assert ended.err.startswith("config: ") and "Traceback" not in ended.err


def test_help_and_version(farebox: Farebox) -> None:
    assert "metering" in farebox("--help").out
    assert farebox("--version").out.startswith("farebox")
    assert farebox("no-such-command").code == 2
    for command in ("up", "serve", "ledger", "simulate", "keys", "credits", "token", "audit", "migrate"):
        assert farebox(command, "--help").code == 0


# Ports, as processes of their own


async def test_a_port_that_is_taken_is_said_in_a_line(database_url: str, redis_url: str, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        program = Program(tmp_path, database_url, redis_url, {"listen": {"host": "127.0.0.1", "port": port}})
        program.write_config()
        for command in (("serve",), ("serve", "--workers", "2"), ("simulate", "--port", str(port))):
            code, said = await program.run_to_end(*command)
            (line,) = said.splitlines()
            assert (code, line.startswith("farebox: ")) == (1, True), said
            assert f"port {port}" in line
        await program.stop()
