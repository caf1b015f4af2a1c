"""The first upstream that names a model serves it; `*` takes what nobody names."""

from proxy.routing import Fleet, Route, Routes
from proxy.upstream.attempts import Failover
from proxy.upstream.balance import Room
from proxy.upstream.standing import Fault
from runtime.settings import ModelAdditions
from tests.support.calls import route


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


def fleet_of(routes: Routes, model: str = "tiny") -> Fleet:
    fleet = routes.for_model(model)
    assert fleet is not None
    return fleet


async def test_what_differs_in_what_a_request_may_come_to() -> None:
    same = [route(max_output_tokens=5), route(max_output_tokens=7)]
    other = [route(kind="ollama"), route(context_tokens=100)]
    fleet = Fleet([*same, *other])
    assert fleet.terms == (other[1], other[0], same[0])
    assert fleet.max_output_tokens == 4096 and Fleet(same).max_output_tokens == 7


async def test_ollamas_own_api_is_asked_of_ollama_only() -> None:
    ollama, other = route(kind="ollama"), route(kind="vllm")
    found = Fleet([other, ollama]).of_ollama
    assert found is not None and found.routes == (ollama,)
    assert Fleet([other]).of_ollama is None
    alone = Fleet([ollama])
    assert alone.of_ollama is alone


async def test_what_is_added_for_a_model_goes_before_what_is_added_for_an_upstream() -> None:
    served = route(models=("tiny", "large"), headers={"X-A": "1", "x-b": "2"})
    added = [{"name": "tiny", "headers": {"x-a": "3"}}, {"name": "*", "body": {"seed": 1}}, {"name": "nobodys"}]
    routes = Routes([served], [ModelAdditions.model_validate(each) for each in added])
    assert fleet_of(routes).headers_for(served) == [(b"x-b", b"2"), (b"x-a", b"3")]
    assert fleet_of(routes).additions.body == {}
    assert fleet_of(routes, "large").headers_for(served) == [(b"x-a", b"1"), (b"x-b", b"2")]
    assert fleet_of(routes, "large").additions.body == {"seed": 1}
    assert routes.for_model("nobodys") is None


async def test_what_is_added_for_a_model_that_only_a_star_serves() -> None:
    routes = Routes([route()], [ModelAdditions.model_validate({"name": "tiny", "body": {"seed": 1}})])
    assert fleet_of(routes).additions.body == {"seed": 1}
    assert fleet_of(routes, "large").additions.body == {}


async def test_requests_of_our_own_have_the_upstreams_credential_and_headers() -> None:
    azure = route(kind="azure", api_key="sk-1", headers={"X-A": "1"})
    assert azure.own_headers == [(b"accept-encoding", b"identity"), (b"api-key", b"sk-1"), (b"x-a", b"1")]


async def test_an_upstream_says_how_it_is_to_be_treated() -> None:
    served = route(weight=3, failover="never", breaker={"failures": 1}, model_names={"tiny": "org/tiny"})
    assert (served.weight, served.failover, served.busy, served.room) == (3, Failover.NEVER, 0, Room.FREE)
    assert (served.name_of("tiny"), served.name_of("large")) == ("org/tiny", "large")
    served.standing.failed(Fault.UNANSWERED, 0)
    assert served.standing.is_open
