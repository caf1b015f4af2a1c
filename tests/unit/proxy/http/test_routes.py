"""An exact path is found first; an open one takes what remains of a path, and no more than is sensible."""

from urllib.parse import unquote

import pytest

from proxy.http.routes import Routes
from runtime.http.request import Reply, Request
from runtime.http.response import Response
from tests.support.requests import made_request


async def exact(_: Request) -> Reply:
    return Response(200, [], b"exact")


async def opened(_: Request, value: str) -> Reply:
    return Response(200, [], value.encode())


ROUTES = Routes({("GET", "/v1/models"): exact, ("GET", "/v1/models/{id}"): opened, ("GET", "/v1/models/own"): exact})


def test_an_exact_path_comes_before_an_open_one() -> None:
    assert ROUTES.find("GET", "/v1/models/own") is exact


@pytest.mark.parametrize("value", ["a", "org/model", "org%2Fmodel", "%C3%BC%20", "x" * 512])
async def test_an_open_path_takes_what_remains_decoded(value: str) -> None:
    handler = ROUTES.find("GET", f"/v1/models/{value}")
    assert handler is not None
    response = await handler(made_request())
    assert isinstance(response, Response)
    assert response.body == unquote(value).encode()


@pytest.mark.parametrize(
    "path", ["/v1/models/", "/v1/modelsa", "/v2/models/a", "/v1%2Fmodels", "/v1/models%2Fa", "/v1/models/" + "x" * 513]
)
def test_nothing_is_found_elsewhere(path: str) -> None:
    assert ROUTES.find("GET", path) is None


def test_the_method_counts() -> None:
    assert ROUTES.find("POST", "/v1/models/a") is None
