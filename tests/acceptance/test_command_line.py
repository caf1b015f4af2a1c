"""The commands an operator types: what they do, what they print, how they end."""

import asyncio
import json
import os
import socket
import sys
from asyncio.subprocess import PIPE
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

from ledger.postgres import Store
from proxy import cli
from runtime.postgres import create_pool
from tests.support.ledger import funded_wallet, until
from tests.support.months import files_in, month_back, post_months, requests_by_month
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
    # a command says how its process logs, and this is the process of the tests
    for name in ("configure", "set_level"):
        monkeypatch.setattr(f"runtime.logs.{name}", lambda level: None)

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


def test_a_key_is_restricted_changed_and_rotated(farebox: Farebox, config: Path) -> None:
    user = uuid4()
    common = ("--config", config, "--json")
    lists = (
        "--model",
        "tiny",
        "--model",
        "gpt-*",
        "--route",
        "/api/v1/embeddings",
        "--ip",
        "10.0.0.0/8",
        "--ip",
        "::1",
    )
    limits = ("--tpm", 900, "--concurrency", 2, "--budget-daily", "0.5", "--budget-total", "9000000")
    made = farebox("keys", "create", "--user", user, "--name", "full", *lists, *limits, *common).json
    assert (made["allowed_models"], made["allowed_routes"]) == (["tiny", "gpt-*"], ["/v1/embeddings"])
    assert (made["allowed_ips"], made["tokens_per_minute"]) == (["10.0.0.0/8", "::1"], 900)
    assert (made["max_concurrent_requests"], made["budget_daily"], made["budget_monthly"]) == (2, Decimal("0.5"), None)

    clear = ("--clear", "ip", "--clear", "budget-total", "--name", "less", "--model", "tiny", "--rpm", 10**8)
    changed = farebox("keys", "update", made["id"], *clear, "--reason", "asked for", *common).json
    same = made | {"name": "less", "allowed_models": ["tiny"], "rate_limit_per_minute": 10**8}
    del same["api_key"]
    assert changed == same | {"allowed_ips": None, "budget_total": None}

    rotated = farebox("keys", "rotate", made["id"], "--grace", "2h", *common).json
    assert rotated["api_key"].startswith(rotated["key_prefix"]) and rotated["id"] != made["id"]
    assert (rotated["rotated_from"], rotated["old_key_id"]) == (made["id"], made["id"])
    listed = farebox("keys", "list", "--user", user, *common).json
    assert [(row["id"], row["expires_at"]) for row in listed] == [
        (rotated["id"], None),
        (made["id"], rotated["old_key_ends_at"]),
    ]
    text = farebox("keys", "list", "--user", user, "--config", config).out
    assert "  replaced  " in text and "models tiny" in text and "dollars 0.5 day" in text

    for refused in (("update", made["id"], "--name", "x"), ("rotate", made["id"])):
        ended = farebox("keys", *refused, "--config", config)
        assert (ended.code, ended.out) == (1, "") and ended.err.startswith("farebox: the key was rotated already")
    assert farebox("keys", "freeze", rotated["id"], *common).json == {
        "id": rotated["id"],
        "is_frozen": True,
        "changed": True,
    }
    assert "is frozen" in farebox("keys", "update", rotated["id"], "--name", "x", "--config", config).err
    assert farebox("keys", "unfreeze", rotated["id"], "--config", config).out == f"let go {rotated['id']}\n"
    assert farebox("keys", "update", rotated["id"], "--name", "x", *common).json["name"] == "x"
    missing = farebox("keys", "rotate", uuid4(), "--config", config)
    assert (missing.code, missing.err) == (1, "farebox: there is no such key\n")


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


# Prices


def test_a_price_is_set_listed_and_switched_off(farebox: Farebox, config: Path) -> None:
    why = ("--reason", "why", "--config", config, "--json")
    first = farebox("prices", "set", "org/model:1", "--input", "0.001", "--output", "0.000000001", *why).json
    assert (first["in_force"], first["input_price_per_1k_tokens"]) == (True, Decimal("0.001"))
    assert (first["output_price_per_1k_tokens"], first["base_request_fee"]) == (Decimal("0.000000001"), 0)
    assert first["image_price"] is first["cached_input_price_per_1k_tokens"] is None
    more = {
        "cached_input_price_per_1k_tokens": "--cached-input", "cache_write_price_per_1k_tokens": "--cache-write",
        "reasoning_price_per_1k_tokens": "--reasoning", "audio_input_price_per_1k_tokens": "--audio-input",
        "audio_output_price_per_1k_tokens": "--audio-output", "image_price": "--image",
        "audio_minute_price": "--audio-minute", "base_request_fee": "--fee",
    }  # fmt: skip
    options = [text for place, option in enumerate(more.values()) for text in (option, f"0.{place + 1}")]
    date = ("--from", "2099-01-02T03:04:05")
    later = farebox("prices", "set", "org/model:1", "--input", "5", "--output", "6", *options, *date, *why).json
    assert {name: later[name] for name in more} == {
        name: Decimal(place + 1) / 10 for place, name in enumerate(more)
    } and not later["in_force"]
    assert datetime.fromisoformat(later["effective_from"]) == datetime(2099, 1, 2, 3, 4, 5, tzinfo=UTC)
    farebox("prices", "set", "another", "--input", "1", "--output", "1", *why)

    listed = farebox("prices", "list", "--model", "org/model:1", "--config", config, "--json")
    assert listed.json == [later, first]
    now = farebox("prices", "list", "--in-force", "--config", config, "--json").json
    assert [row["model"] for row in now] == ["another", "org/model:1"]
    assert "input_price $0.001" in farebox("prices", "list", "--config", config).out

    off = farebox("prices", "deactivate", first["id"], *why).json
    assert (off["id"], off["is_active"], off["now_in_force"]) == (first["id"], False, None)
    again = farebox("prices", "deactivate", first["id"], "--reason", "once more", "--config", config)
    assert again.code == 0 and "has no price now" in again.out


def test_prices_that_cannot_be(farebox: Farebox, config: Path) -> None:
    assert farebox("prices", "list", "--config", config).out == "no prices\n"
    rates = ("--input", "1", "--output", "1", "--reason", "why", "--config", config)
    missing = farebox("prices", "deactivate", uuid4(), "--reason", "why", "--config", config)
    assert (missing.code, missing.err) == (1, "farebox: there is no such price\n")
    assert farebox("prices", "set", "x", *rates, "--from", "2030-01-01").code == 0
    twice = farebox("prices", "set", "x", *rates, "--from", "2030-01-01")
    assert (twice.code, twice.out) == (1, "") and "has a price of that date" in twice.err
    assert farebox("prices", "set", "x" * 201, *rates).code == 1
    assert len(farebox("prices", "list", "--config", config, "--json").json) == 1


# What operators do, and the log of it


def test_a_wallet_is_frozen_let_go_and_given_an_overdraft(farebox: Farebox, config: Path) -> None:
    user = uuid4()
    common = ("--config", config, "--json")
    farebox("credits", "bonus", "--user", user, "--amount", "2", "--description", "hello", *common)
    for command, frozen in (("freeze", True), ("unfreeze", False)):
        for changed in (True, False):
            done = farebox("wallets", command, "--user", user, "--reason", "why not", *common).json
            assert done == {"user_id": str(user), "is_frozen": frozen, "changed": changed}
    done = farebox("wallets", "overdraft", "--user", user, "--amount", "7.5", *common).json
    assert (done["balance"], done["overdraft"]) == (2, Decimal("7.5"))
    listed = farebox("wallets", "list", "--sort", "balance", *common).json
    (row,) = listed["wallets"]
    assert (row["user_id"], row["balance"], row["spent"], row["is_frozen"]) == (str(user), 2, 0, False)
    assert listed["next_cursor"] is None and str(user) in farebox("wallets", "list", "--config", config).out
    log = farebox("admin-log", "--user", user, *common).json["log"]
    assert [act["action"] for act in log] == ["wallet.overdraft", "wallet.unfreeze", "wallet.freeze", "credits.bonus"]
    assert [act["reason"] for act in log] == ["", "why not", "why not", "hello"]
    (actor,) = {act["actor"] for act in log}
    assert actor.startswith("cli:") and len(actor) > len("cli:")
    assert len(farebox("admin-log", "--actor", actor, "--since", "2001-01-01", *common).json["log"]) == 4
    assert farebox("admin-log", "--actor", "nobody", *common).json == {"log": [], "next_cursor": None}
    assert farebox("admin-log", "--since", "2099-01-01", "--config", config).out.strip() == "nothing"


def test_pages_go_on_where_the_one_before_ended(farebox: Farebox, config: Path) -> None:
    common = ("--config", config, "--json", "--limit", 1)
    for amount in ("1", "2"):
        credit = ("--user", uuid4(), "--amount", amount, "--description", "x", "--config", config)
        assert farebox("credits", "bonus", *credit).code == 0
    for command, rows in ((("wallets", "list", "--sort", "balance"), "wallets"), (("admin-log",), "log")):
        first = farebox(*command, *common).json
        second = farebox(*command, *common, "--cursor", first["next_cursor"]).json
        assert second["next_cursor"] is None and first[rows] != second[rows]
        assert f"--cursor {first['next_cursor']}" in farebox(*command, *common[:2], "--limit", 1).out
        assert farebox(*command, *common, "--cursor", "x").code == 1


def test_a_refund_is_given_to_who_has_a_wallet(farebox: Farebox, config: Path) -> None:
    user, nobody = uuid4(), uuid4()
    common = ("--description", "sorry", "--config", config, "--json", "--amount")
    farebox("credits", "bonus", "--user", user, *common, "1")
    assert farebox("credits", "refund", "--user", user, *common, "0.25").json["balance"] == Decimal("1.25")
    ended = farebox("credits", "refund", "--user", nobody, *common, "1")
    assert (ended.code, ended.err.strip()) == (1, f"farebox: user {nobody} has no wallet")
    ended = farebox("credits", "refund", "--user", user, "--request", uuid4(), *common, "1")
    assert ended.code == 1 and "no such request" in ended.err
    for amount in ("0", "-1"):
        assert farebox("credits", "refund", "--user", user, *common, amount).code == 2
    assert farebox("wallets", "freeze", "--user", nobody, "--config", config).code == 1
    assert farebox("wallets", "overdraft", "--user", nobody, "--amount", "1", "--config", config).code == 1
    assert len(farebox("wallets", "list", "--config", config, "--json").json["wallets"]) == 1


def test_a_key_is_frozen_and_let_go(farebox: Farebox, config: Path) -> None:
    user = uuid4()
    common = ("--config", config, "--json")
    key_id = farebox("keys", "create", "--user", user, "--name", "x", *common).json["id"]
    for command, frozen in (("freeze", True), ("unfreeze", False)):
        for changed in (True, False):
            done = farebox("keys", command, key_id, "--reason", "leaked", *common).json
            assert done == {"id": key_id, "is_frozen": frozen, "changed": changed}
    farebox("keys", "revoke", key_id, "--reason", "leaked", *common)
    acts = [act["action"] for act in farebox("admin-log", "--user", user, *common).json["log"]]
    assert acts[:3] == ["key.revoke", "key.unfreeze", "key.freeze"]
    ended = farebox("keys", "freeze", uuid4(), "--config", config)
    assert ended.code == 1 and ended.err.startswith("farebox: there is no ")


def test_too_long_a_reason_is_refused_and_nothing_done(farebox: Farebox, config: Path) -> None:
    user = uuid4()
    credit = ("--user", user, "--amount", "1", "--config", config, "--json")
    ended = farebox("credits", "bonus", *credit, "--description", "x" * 501)
    assert ended.code == 1 and "longer than 500 characters" in ended.err
    assert farebox("credits", "bonus", *credit, "--description", "x" * 500).json["balance"] == 1


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


async def test_what_a_command_prints_is_all_that_it_prints(config: Path, database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    await connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    await connection.close()
    command = [sys.executable, "-c", "from proxy.cli import main; main()", "migrate", "--config", str(config), "--json"]
    program = await asyncio.create_subprocess_exec(*command, stdout=PIPE, stderr=PIPE, env=environment())
    out, err = await program.communicate()
    assert len(json.loads(out)["applied"]) > 10
    assert (program.returncode, err) == (0, b"")


@pytest.mark.parametrize(
    ("statement", "code"),
    [
        ("DELETE FROM farebox_migrations WHERE number = (SELECT max(number) FROM farebox_migrations)", 1),
        # a version that is newer runs beside this one
        ("INSERT INTO farebox_migrations (number, name, checksum) VALUES (9999, '9999_future', '')", 0),
    ],
    ids=["older", "newer"],
)
async def test_what_needs_a_newer_schema_says_so_and_a_newer_one_is_no_hindrance(
    farebox: Farebox, config: Path, database_url: str, statement: str, code: int
) -> None:
    connection = await asyncpg.connect(database_url)
    await connection.execute(statement)
    await connection.close()
    listed = await asyncio.to_thread(farebox, "keys", "list", "--user", uuid4(), "--config", config)
    assert listed.code == code
    assert ("run `farebox migrate` first: it does not have 00" in listed.err) == bool(code)


# Retention


@pytest.fixture
async def past(database_url: str) -> None:
    """Three requests in each of the last three months, and in the running one."""
    pool = await create_pool(database_url)
    try:
        store = Store(pool)
        await post_months(store, await funded_wallet(store), 3)
    finally:
        await pool.close()


def keeping(config: Path, **settings: object) -> Path:
    path = config.with_name("keeping.yaml")
    path.write_text(yaml.safe_dump(yaml.safe_load(config.read_text()) | {"retention": settings}))
    return path


@pytest.mark.usefixtures("past")
def test_old_usage_is_shown_archived_and_dropped(farebox: Farebox, config: Path, tmp_path: Path) -> None:
    folder = tmp_path / "archive"
    keeps = keeping(config, usage_months=1, archive_dir=str(folder))
    months = [f"{month_back(back):%Y-%m}" for back in (3, 2)]
    for _ in range(2):
        shown = farebox("retention", "--dry-run", "--config", keeps, "--json")
        assert (shown.code, [due["month"] for due in shown.json["due"]]) == (0, [f"{month}-01" for month in months])
    assert farebox("retention", "--dry-run", "--config", keeps).out.startswith(f"would drop {months[0]}")

    ended = farebox("retention", "--config", keeps)
    assert (ended.code, ended.out) == (1, "")
    assert ended.err.startswith("farebox: ") and "No such file or directory" in ended.err

    folder.mkdir()
    done = farebox("retention", "--config", keeps, "--json").json
    assert [(one["month"], one["requests"]) for one in done["dropped"]] == [(f"{month}-01", 3) for month in months]
    assert {one["archive"]["name"] for one in done["dropped"]} == {path.name for path in folder.iterdir()}
    assert farebox("retention", "--config", keeps).out == "nothing is older than 1 months\n"
    assert farebox("audit", "--config", keeps).code == 0


@pytest.mark.usefixtures("past")
def test_unless_said_all_usage_is_kept(farebox: Farebox, config: Path) -> None:
    ended = farebox("retention", "--config", config)
    assert (ended.code, ended.out) == (0, "everything is kept: retention.usage_months is not set\n")
    keeps = keeping(config, usage_months=2)
    dropped = farebox("retention", "--config", keeps).out
    assert dropped == f"dropped {month_back(3):%Y-%m}: 3 requests\n"


@pytest.mark.usefixtures("past")
async def test_the_ledger_process_drops_old_usage_by_itself(database_url: str, redis_url: str, tmp_path: Path) -> None:
    (tmp_path / "archive").mkdir()
    kept = {"usage_months": 1, "archive_dir": str(tmp_path / "archive")}
    program = Program(tmp_path, database_url, redis_url, {"retention": kept})
    program.write_config()
    pool = await create_pool(database_url)

    async def dropped() -> bool:
        return len(await requests_by_month(pool)) == 2

    try:
        program.start_ledger()
        await until(dropped)
    finally:
        await program.stop()
        await pool.close()
    assert len(files_in(tmp_path / "archive")) == 2


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
    for command in (
        "up",
        "serve",
        "ledger",
        "simulate",
        "keys",
        "credits",
        "wallets",
        "admin-log",
        "dead-letters",
        "token",
        "audit",
        "migrate",
        "retention",
    ):
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
