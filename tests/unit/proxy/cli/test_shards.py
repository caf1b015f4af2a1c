"""`farebox reshard`, with the servers left out; on real ones: tests/integration/test_shards.py and tests/acceptance."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from proxy.cli import shards
from proxy.cli.shards import change_shards
from runtime.settings import AccountsConfig

CONFIG = 'database: {url: "postgresql://h/d"}\nredis: {url: "redis://h", shards: 5}\n'


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "config.yaml"
    path.write_text(CONFIG)
    return path


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    found: list[int] = []

    async def reshard(config: AccountsConfig, to: int) -> int:
        assert config.redis.shards == 5
        found.append(to)
        return 70

    monkeypatch.setattr(shards, "_reshard", reshard)
    return found


def test_it_says_what_is_left_to_do(config: Path, asked: list[int]) -> None:
    result = CliRunner().invoke(change_shards, ["--to", "12", "--config", str(config)])
    assert (result.exit_code, asked) == (0, [12])
    assert "70 cached keys forgotten" in result.output and "redis.shards: 12" in result.output


def test_as_json(config: Path, asked: list[int]) -> None:
    result = CliRunner().invoke(change_shards, ["--to", "12", "--config", str(config), "--json"])
    assert json.loads(result.output) == {"shards": 12, "forgotten": 70}


@pytest.mark.parametrize("arguments", [[], ["--to", "0"], ["--to", "257"], ["--to", "x"]])
def test_a_number_that_cannot_be_is_wrong_usage(config: Path, asked: list[int], arguments: list[str]) -> None:
    result = CliRunner().invoke(change_shards, [*arguments, "--config", str(config)])
    assert (result.exit_code, asked) == (2, [])
