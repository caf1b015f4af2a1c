"""Which process a command starts; the processes themselves are run in tests/acceptance."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner

from proxy.cli import serve as module
from proxy.cli.serve import check_config, serve, worker
from runtime.config import ConfigError
from runtime.settings import Config, Listen

GOOD = """
listen: {port: 8081}
database: {url: "postgresql://h/d"}
redis: {url: "redis://h"}
keys: {pepper: "pppppppppppppppppppppppppppppppp"}
upstreams: [{url: "http://h/v1"}]
"""


class Unchanging:
    async def change_to(self, _config: Config) -> None:
        raise AssertionError("nothing has changed")


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """And the signals of this process stay as they are."""
    monkeypatch.setattr("proxy.cli.serve.hold_signals", lambda: None)
    monkeypatch.setattr("proxy.cli.serve.reload_event", asyncio.Event)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "config.yaml"
    path.write_text(GOOD)
    return path


def test_a_good_configuration(config: Path) -> None:
    result = CliRunner().invoke(check_config, ["--config", str(config), "--json"])
    assert (result.exit_code, json.loads(result.output)) == (0, {"ok": True})
    assert CliRunner().invoke(check_config, ["--config", str(config)]).output == f"{config}: ok\n"


def test_a_bad_configuration_is_told_all_at_once(config: Path) -> None:
    config.write_text("listen: {port: 99999}\nunheard_of: 1")
    result = CliRunner().invoke(check_config, ["--config", str(config)])
    assert isinstance(result.exception, ConfigError)
    assert len(result.exception.problems) >= 2


@pytest.mark.parametrize(("command", "reuse_port"), [(serve, False), (worker, True)])
def test_one_proxy_in_this_process(
    command: object, reuse_port: bool, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    served: list[tuple[int, bool]] = []

    @asynccontextmanager
    async def serving(loaded: Config, *, reuse_port: bool, metrics_slot: Path | None) -> AsyncIterator[Unchanging]:
        assert metrics_slot is None
        served.append((loaded.listen.port, reuse_port))
        yield Unchanging()

    class Stopped:
        async def wait(self) -> None:
            return None

    monkeypatch.setattr("proxy.app.serving", serving)
    monkeypatch.setattr(module, "stop_event", Stopped)
    result = CliRunner().invoke(command, ["--config", str(config)])  # type: ignore[arg-type]  # both are commands
    assert result.exit_code == 0, result.output
    assert served == [(8081, reuse_port)]


@pytest.mark.parametrize("code", [0, 1])
@pytest.mark.parametrize(("options", "count", "has_ledger"), [("--workers 3", 3, False), ("--ledger", 1, True)])
def test_several_are_processes_of_their_own(
    config: Path, options: str, count: int, has_ledger: bool, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    supervised: list[tuple[Path, int, int, bool]] = []

    async def supervise(path: Path, listen: Listen, count: int, *, with_ledger: bool) -> int:
        supervised.append((path, listen.port, count, with_ledger))
        return code

    monkeypatch.setattr(module, "supervise", supervise)
    result = CliRunner().invoke(serve, ["--config", str(config), *options.split()])
    assert result.exit_code == code
    assert supervised == [(config, 8081, count, has_ledger)]


def test_a_worker_is_not_for_people() -> None:
    assert worker.hidden
