"""The first upstream that names a model serves it; `*` takes what nobody names."""

import pytest

from proxy.routing import Route, Routes
from proxy.upstream.errors import UpstreamConnectError
from proxy.upstream.pool import UpstreamRequest
from tests.support.calls import route
from tests.support.scripted_server import RecordingSink


def serving(routes: Routes, model: str) -> list[Route]:
    fleet = routes.for_model(model)
    return [] if fleet is None else list(fleet.routes)


async def test_all_who_name_a_model_serve_it_and_who_takes_any_the_rest() -> None:
    anything, named, also = route(models=("*",)), route(models=("tiny", "large")), route(models=("tiny",))
    routes = Routes([anything, named, also])
    assert serving(routes, "tiny") == [named, also]
    assert serving(routes, "large") == [named]
    assert serving(routes, "unheard-of") == [anything]
    assert routes.all == (anything, named, also)


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
