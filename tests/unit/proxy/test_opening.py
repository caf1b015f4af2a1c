"""What requests run on while the configuration changes."""

from typing import Any

import pytest

from proxy.opening import RoutesInUse
from proxy.process.starting import StartError
from proxy.routing import Route
from proxy.upstream.errors import UpstreamConnectError
from proxy.upstream.pool import UpstreamRequest
from runtime.settings import Config
from tests.support.scripted_server import RecordingSink


def config(*upstreams: dict[str, Any]) -> Config:
    given = [{"url": "http://127.0.0.1:9", "models": [each["name"]]} | each for each in upstreams]
    fixed = {"database": {"url": "postgresql://h/d"}, "redis": {"url": "redis://h"}, "keys": {"pepper": "p" * 32}}
    return Config.model_validate(fixed | {"upstreams": given})


async def is_closed(route: Route) -> bool:
    """Nobody listens at that address, so that it either refuses or is not even asked."""
    with pytest.raises(UpstreamConnectError) as caught:
        await route.pool.send(UpstreamRequest("GET", "/", []), RecordingSink())
    return "closed" in str(caught.value)


async def test_an_upstream_that_is_configured_as_before_is_the_same_one_still() -> None:
    in_use = RoutesInUse({})
    old = await in_use.open(config({"name": "a"}, {"name": "b"}))
    new = await in_use.open(config({"name": "b"}, {"name": "a", "weight": 2}))
    assert new.all[0] is old.all[1]
    assert new.all[1] is not old.all[0]
    assert in_use.newest == new.all
    await in_use.retire(old)
    assert [await is_closed(route) for route in (*old.all, *new.all)] == [True, False, False, False]
    await in_use.close()
    assert [await is_closed(route) for route in new.all] == [True, True]


async def test_what_is_wrong_is_named_and_changes_nothing(tmp_path: Any) -> None:
    in_use = RoutesInUse({})
    old = await in_use.open(config({"name": "a"}))
    missing = {"name": "c", "url": "https://127.0.0.1:9", "tls": {"ca_file": str(tmp_path / "missing.pem")}}
    with pytest.raises(StartError, match=r"^upstreams\.2\.tls\.ca_file: "):
        await in_use.open(config({"name": "a"}, {"name": "b"}, missing))
    assert in_use.newest == old.all
    assert not await is_closed(old.all[0])
    await in_use.close()


async def test_health_checks_end_with_what_they_check() -> None:
    in_use = RoutesInUse({})
    routes = await in_use.open(config({"name": "a", "health": {"interval_s": 60}}))
    await in_use.retire(routes)
    assert await is_closed(routes.all[0])
    assert in_use.newest == ()
