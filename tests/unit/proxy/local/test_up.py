"""The configuration that a local installation runs on, and what it says; the whole is run by the acceptance tests."""

from contextlib import AsyncExitStack
from pathlib import Path
from uuid import UUID

import pytest

from proxy.local.demo import describe
from proxy.local.folder import DataFolder, Secrets
from proxy.local.servers import Servers
from proxy.local.up import Installation, Wanted, _announcement
from runtime.config import load

SECRETS = Secrets.new()
SERVERS = Servers("postgresql://u:p@127.0.0.1:1/farebox", "redis://:p@127.0.0.1:2/0", ())
URL = "http://127.0.0.1:11434/v1"


def wanted(data: Path, upstream: str | None) -> Wanted:
    return Wanted(upstream, "ollama", "127.0.0.1", 8080, data, 1, False)


def installation(tmp_path: Path, upstream: str | None = URL) -> Installation:
    folder = DataFolder.open(tmp_path / "data")
    return Installation(wanted(folder.path, upstream), folder, AsyncExitStack(), lambda _: None)


def test_the_configuration_is_one_that_farebox_reads(tmp_path: Path) -> None:
    here = installation(tmp_path)
    path = here.write_config(SECRETS, SERVERS, URL, ["tiny"])
    config = load(path, {})
    assert path.stat().st_mode & 0o777 == 0o600
    assert config.database.url.get_secret_value() == SERVERS.database_url
    assert config.redis.url.get_secret_value() == SERVERS.redis_url
    assert config.keys.pepper.get_secret_value() == SECRETS.key_pepper
    assert config.identity.admin_user_ids == (UUID(SECRETS.admin_id),)
    assert (config.listen.port, here.base_url) == (8080, "http://127.0.0.1:8080")
    assert config.spool.dir == here.folder.path / "spool"
    (upstream,) = config.upstreams
    assert (upstream.url, upstream.kind, upstream.models) == (URL, "ollama", ("tiny",))


@pytest.mark.parametrize(("upstream", "source"), [(None, "a simulated LLM server"), (URL, URL)])
def test_what_it_says_when_it_is_ready(tmp_path: Path, upstream: str | None, source: str) -> None:
    here = installation(tmp_path, upstream)
    told = describe(here.base_url, "pp_live-x", UUID(int=1), SECRETS, SERVERS, ["tiny", "large"])
    said = _announcement(told, here.wanted, here.folder)
    assert source in said and "Models: tiny, large" in said and "curl -N http://127.0.0.1:8080" in said
    assert ("at $0.025 per 1,000 tokens" in said) == (upstream is not None)
    assert f" audit --config {here.folder.path / 'config.yaml'}" in said
    assert SECRETS.jwt_secret not in said and SERVERS.database_url not in said
