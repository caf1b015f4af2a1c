"""Where the tokens come from, and what the run is told as."""

from pathlib import Path
from typing import Any

import orjson
import pytest
from click.testing import CliRunner, Result

from proxy.cli import smoke as module
from proxy.cli.smoke import Target, smoke
from proxy.smoke import steps
from proxy.smoke.steps import OnResult

GOOD = steps.Result("health", "pass", "lives", 3)
BAD = steps.Result("key", "fail", "HTTP 401", 4)
DEMO = {"base_url": "http://demo", "user_token": "demo-user", "admin_token": "demo-admin"}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Target]:
    """What would be run; it ends in GOOD, and in BAD too where the model is `bad`."""
    found: list[Target] = []

    async def pretend(target: Target, on_result: OnResult) -> list[steps.Result]:
        found.append(target)
        results = [GOOD, BAD] if target.wanted.model == "bad" else [GOOD]
        for result in results:
            on_result(result)
        return results

    monkeypatch.setattr(module, "_run", pretend)
    return found


def invoke(*arguments: str, **environment: str) -> Result:
    unset: dict[str, str | None] = dict.fromkeys(
        ("FAREBOX_BASE_URL", "FAREBOX_USER_TOKEN", "FAREBOX_ADMIN_TOKEN"), None
    )
    return CliRunner().invoke(smoke, arguments, env=unset | environment)


def tokens(target: Target) -> tuple[str, str, str]:
    return target.base_url, target.wanted.user_token, target.wanted.admin_token


def test_options_come_before_the_environment_and_both_before_the_demo(asked: list[Target], tmp_path: Path) -> None:
    demo = tmp_path / "demo.json"
    demo.write_bytes(orjson.dumps(DEMO))
    assert invoke("--demo", str(demo)).exit_code == 0
    assert invoke("--demo", str(demo), "--user-token", "mine", FAREBOX_ADMIN_TOKEN="set").exit_code == 0
    assert [tokens(target) for target in asked] == [
        ("http://demo", "demo-user", "demo-admin"),
        ("http://demo", "mine", "set"),
    ]
    assert asked[0].wanted.credit_nanos == 10**9
    assert invoke("--demo", str(demo), "--admin-url", "http://inside").exit_code == 0
    assert [target.admin_url for target in asked] == ["http://demo", "http://demo", "http://inside"]


def test_one_failed_step_is_exit_code_1_and_the_tokens_are_not_printed(asked: list[Target]) -> None:
    given = ("--base-url", "http://h", "--user-token", "secret-u", "--admin-token", "secret-a")
    said = invoke(*given, "--model", "bad")
    assert said.exit_code == 1 and "FAIL  key" in said.output and "secret" not in said.output
    assert invoke(*given).exit_code == 0
    told = orjson.loads(invoke(*given, "--json", "--model", "bad").stdout)
    assert (told["ok"], [step["outcome"] for step in told["steps"]]) == (False, ["pass", "fail"])


@pytest.mark.parametrize(
    "arguments",
    [
        (), ("--base-url", "http://h"), ("--base-url", "http://h", "--user-token", "x"), ("--demo", "/not/there"),
        ("--credit", "0"), ("--credit", "-1"), ("--timeout", "0"), ("--posting-wait", "nan"),
    ],
)  # fmt: skip
def test_wrong_usage_is_exit_code_2(asked: list[Target], arguments: tuple[str, ...]) -> None:
    assert invoke(*arguments).exit_code == 2
    assert asked == []


@pytest.mark.parametrize("content", [b"{", b"[]", b"\xff", b'{"base_url": 5}'])
def test_a_demo_file_that_is_none_is_wrong_usage(asked: list[Target], tmp_path: Path, content: Any) -> None:
    demo = tmp_path / "demo.json"
    demo.write_bytes(content)
    assert invoke("--demo", str(demo)).exit_code == 2
    assert asked == []
