"""The first upstream that names a model serves it; `*` takes what nobody names."""

import pytest

from proxy.routing import Route, Routes, RoutesInUse
from proxy.upstream.errors import UpstreamConnectError
from proxy.upstream.pool import UpstreamRequest
from tests.support.calls import route
from tests.support.scripted_server import RecordingSink


async def test_who_names_a_model_comes_before_who_takes_any() -> None:
    anything, named, also = route(models=("*",)), route(models=("tiny", "large")), route(models=("tiny",))
    routes = Routes([anything, named, also])
    assert routes.for_model("tiny") is named
    assert routes.for_model("large") is named
    assert routes.for_model("unheard-of") is anything


async def test_a_model_that_nobody_serves() -> None:
    assert Routes([route(models=("tiny",))]).for_model("large") is None
    assert Routes([]).for_model("tiny") is None


async def test_a_star_is_no_pattern() -> None:
    assert Routes([route(models=("ti*",))]).for_model("tiny") is None


async def test_the_credential_is_the_upstreams_own() -> None:
    assert route(api_key="sk-upstream").credential == "sk-upstream"
    assert route().credential is None


async def test_closing_closes_every_pool() -> None:
    every = [route(), route()]
    await Routes(every).close()
    for one in every:
        with pytest.raises(UpstreamConnectError, match="closed"):
            await one.pool.send(UpstreamRequest("GET", "/", []), RecordingSink())


async def is_closed(one: Route) -> bool:
    try:
        await one.pool.send(UpstreamRequest("GET", "/", []), RecordingSink())
    except UpstreamConnectError as error:
        return "closed" in str(error)
    return False


async def test_what_is_retired_is_closed_at_once_and_the_rest_in_the_end() -> None:
    old, new, in_use = route(), route(), RoutesInUse()
    sets = [Routes([old]), Routes([new])]
    for each in sets:
        in_use.add(each)
    await in_use.retire(sets[0])
    assert await is_closed(old)
    await in_use.close()
    assert await is_closed(new)
