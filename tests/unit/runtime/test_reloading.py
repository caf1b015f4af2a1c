"""A configuration that is read again: what is applied, what is said, and what stays as it was."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
import yaml
from structlog.testing import capture_logs

from runtime.config import ConfigError, load_with_files
from runtime.reloading import Reloader
from runtime.settings import Config
from runtime.tasks import TaskSet
from tests.support.waiting import until

BASE: dict[str, Any] = {
    "database": {"url": "postgresql://user:word-one@h/x"},
    "redis": {"url": "redis://h"},
    "keys": {"pepper": "p" * 32},
    "upstreams": [{"url": "http://h", "models": ["a"]}],
    "reload": {"interval_s": 0.001},
}


class Rig:
    """A file, what watches it, and what it was told to put into force."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.applied: list[Config] = []
        self.error: Exception | None = None
        self.asked = asyncio.Event()
        self.write()
        loaded = load_with_files(Config, path, {})
        self.reloader = Reloader(
            path, loaded, self._apply, fixed=("database", "listen.port"), ignored=("stripe",), environ={}
        )

    def write(self, **sections: Any) -> None:
        self.path.write_text(yaml.safe_dump(BASE | sections))

    async def _apply(self, config: Config) -> None:
        if self.error is not None:
            raise self.error
        self.applied.append(config)

    async def said(self) -> list[dict[str, Any]]:
        """What one reload says."""
        with capture_logs() as logs:
            await self.reloader.reload()
        return [{name: line[name] for name in line if name in ("event", "settings", "reason")} for line in logs]


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path / "config.yaml")


async def test_what_changed_is_put_into_force_and_named(rig: Rig) -> None:
    rig.write(log={"level": "debug"}, holds={"step_tokens": 100})
    assert await rig.said() == [{"event": "config_reloaded", "settings": "holds.step_tokens, log.level"}]
    assert [config.holds.step_tokens for config in rig.applied] == [100]
    assert await rig.said() == [{"event": "config_unchanged"}]


async def test_what_needs_a_new_process_is_kept_and_named_each_time(rig: Rig) -> None:
    rig.write(listen={"port": 1, "max_body_bytes": 2000}, database={"url": "postgresql://elsewhere"})
    applied, waiting = await rig.said()
    assert applied == {"event": "config_reloaded", "settings": "listen.max_body_bytes"}
    assert waiting == {"event": "config_needs_restart", "settings": "database.url, listen.port"}
    (config,) = rig.applied
    assert (config.listen.port, config.listen.max_body_bytes) == (8080, 2000)
    assert "word-one" in config.database.url.get_secret_value()
    assert await rig.said() == [waiting] and len(rig.applied) == 1


async def test_what_is_not_its_business_is_not_told(rig: Rig) -> None:
    rig.write(stripe={"min_amount": 2})
    assert await rig.said() == [{"event": "config_unchanged"}]
    assert rig.applied == []


async def test_a_file_with_a_mistake_changes_nothing_at_all(rig: Rig) -> None:
    rig.write(log={"level": "word-two"}, holds={"step_tokens": 100}, redis={"url": "http://:word-three@h"})
    (line,) = await rig.said()
    assert line["event"] == "config_not_reloaded"
    assert line["reason"] == (
        "redis.url: must start with redis:// or rediss:// or unix://; "
        "log.level: Input should be 'debug', 'info', 'warning' or 'error'"
    )
    assert rig.applied == [] and rig.reloader.config.holds.step_tokens == 512


@pytest.mark.parametrize("error", [ConfigError(["upstreams: cannot"]), RuntimeError("word-four")])
async def test_what_cannot_be_put_into_force_changes_nothing_and_is_tried_again(rig: Rig, error: Exception) -> None:
    rig.error = error
    rig.write(log={"level": "debug"})
    with capture_logs() as logs:
        await rig.reloader.reload()
    assert [line["event"] for line in logs] == ["config_not_reloaded"]
    assert rig.reloader.config.log.level == "info"
    rig.error = None
    assert (await rig.said())[0]["event"] == "config_reloaded"


async def test_a_change_is_found_without_being_asked(rig: Rig) -> None:
    tasks = TaskSet()
    tasks.spawn(rig.reloader.run(rig.asked), name="reload")
    rig.write(log={"level": "debug"})
    await until(lambda: len(rig.applied) == 1)
    await tasks.cancel()


async def test_asked_it_does_not_wait(rig: Rig) -> None:
    rig.write(reload={"interval_s": 0}, holds={"step_tokens": 100})
    await rig.reloader.reload()
    tasks = TaskSet()
    tasks.spawn(rig.reloader.run(rig.asked), name="reload")
    rig.write(reload={"interval_s": 0}, holds={"step_tokens": 200})
    rig.asked.set()
    await until(lambda: [config.holds.step_tokens for config in rig.applied] == [100, 200])
    assert not rig.asked.is_set()
    await tasks.cancel()


async def test_the_file_of_a_secret_is_watched_too(rig: Rig, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("one\n")
    rig.write(upstreams=[{"url": "http://h", "api_key_file": str(secret)}])
    await rig.reloader.reload()
    tasks = TaskSet()
    tasks.spawn(rig.reloader.run(rig.asked), name="reload")
    secret.write_text("two\n")
    await until(lambda: len(rig.applied) == 2)
    keys = [config.upstreams[0].api_key for config in rig.applied]
    assert [key and key.get_secret_value() for key in keys] == ["one", "two"]
    await tasks.cancel()
