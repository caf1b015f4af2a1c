"""What is typed for credits and tokens; what they do is in tests/integration/test_accounts_*.py."""

import json
from pathlib import Path

import jwt
import pytest
from click.testing import CliRunner, Result

from accounts.errors import NotConfigured
from proxy.cli.accounts import credits, token, user_id

SECRET = "s" * 32
USER = "00000000-0000-0000-0000-000000000007"


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


def test_the_id_of_a_user_whose_provider_has_no_uuids() -> None:
    arguments = ["--issuer", "https://tenant.auth0.com/", "--subject", "auth0|6553da60a54af58e29493993"]
    assert CliRunner().invoke(user_id, arguments).output == "b7a1352f-86f1-5f6a-bb1e-288fbfb23ab7\n"
    said = CliRunner().invoke(user_id, [*arguments, "--json"])
    assert json.loads(said.output) == {"user_id": "b7a1352f-86f1-5f6a-bb1e-288fbfb23ab7"}


@pytest.mark.parametrize(("issuer", "subject", "wrong"), [("", "a", "issuer"), ("i", "é", "subject")])
def test_no_id_for_what_no_token_may_say(issuer: str, subject: str, wrong: str) -> None:
    said = CliRunner().invoke(user_id, ["--issuer", issuer, "--subject", subject])
    assert said.exit_code == 2 and f"--{wrong}" in said.output
