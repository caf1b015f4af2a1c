"""Which servers a local installation uses; the private ones are started in tests/integration."""

from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import cast

import pytest

from proxy.local import servers
from proxy.local.folder import DataFolder, Secrets
from runtime.embedded.launch import EmbeddedServer


class Started:
    """What was launched: kind, folder, password, port."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.launches: list[tuple[str, str, int]] = []
        self.stops = 0

    async def start(self, folder: Path, password: str, *, port: int) -> EmbeddedServer:
        self.launches.append((folder.name, password, port))
        return cast(EmbeddedServer, self)

    @property
    def url(self) -> str:
        return f"{self.kind}://private"

    @property
    def port(self) -> int:
        return 54_321

    async def stop(self) -> None:
        self.stops += 1


@contextmanager
def played(monkeypatch: pytest.MonkeyPatch, **named: str) -> Iterator[tuple[Started, Started]]:
    for name in ("FAREBOX_DATABASE_URL", "FAREBOX_REDIS_URL"):
        monkeypatch.delenv(name, raising=False)
    for name, value in named.items():
        monkeypatch.setenv(name, value)
    postgres, valkey = Started("postgresql"), Started("redis")
    monkeypatch.setattr(servers, "EmbeddedPostgres", postgres)
    monkeypatch.setattr(servers, "EmbeddedValkey", valkey)
    yield postgres, valkey


async def test_private_ones_by_default_stopped_at_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secrets = Secrets.new()
    with played(monkeypatch) as (postgres, valkey):
        async with AsyncExitStack() as stack:
            started = await servers.start(stack, DataFolder.open(tmp_path / "data"), secrets)
            assert (started.database_url, started.redis_url) == ("postgresql://private", "redis://private")
            assert [part.name for part in started.private] == ["postgres", "valkey"]
            assert postgres.launches == [("postgres", secrets.postgres_password, 0)]
            assert valkey.launches == [("valkey", secrets.valkey_password, 0)]
            assert postgres.stops == valkey.stops == 0
        assert postgres.stops == valkey.stops == 1


async def test_what_the_environment_names_is_used_and_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with played(monkeypatch, FAREBOX_DATABASE_URL="postgresql://ours") as (postgres, valkey):
        async with AsyncExitStack() as stack:
            started = await servers.start(stack, DataFolder.open(tmp_path / "data"), Secrets.new())
        assert (started.database_url, started.redis_url) == ("postgresql://ours", "redis://private")
        assert [part.name for part in started.private] == ["valkey"]
        assert (postgres.launches, postgres.stops, valkey.stops) == ([], 0, 1)
