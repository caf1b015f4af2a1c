"""Every route of the account API says what it is for, what it takes and what it answers; docs/API.md repeats it."""

import inspect
from typing import Any

import pytest
from pydantic import BaseModel

from accounts.api.fields import Body
from accounts.api.openapi import operation_id
from accounts.api.requests import parse_body, read_body
from accounts.api.router import Access, Call, Route
from accounts.api.shapes import Done
from docs.describe_api import PAGE, all_routes, render

ROUTES = all_routes()


def faults(route: Route) -> list[str]:
    """What the description of one route lacks."""
    found = []
    if not route.summary:
        found.append("no summary")
    if route.answer is None and route.media_type == "application/json":
        found.append("no answer")
    read = inspect.getsource(route.handle)
    if "parse_body(" in read and route.body is None:
        found.append("a body is read that is not described")
    if "parse_query(" in read and route.query is None:
        found.append("a query is read that is not described")
    if route.method == "GET" and route.body is not None:
        found.append("a body that clients do not send")
    return found


@pytest.mark.parametrize("route", ROUTES, ids=operation_id)
def test_a_route_is_described(route: Route) -> None:
    assert faults(route) == []


def test_operations_have_names_of_their_own() -> None:
    names = [operation_id(route) for route in ROUTES]
    assert len(set(names)) == len(names) > 8


def test_a_body_takes_no_fields_that_it_does_not_name() -> None:
    models: list[type[BaseModel]] = [model for route in ROUTES for model in (route.body, route.query) if model]
    assert {model.__name__ for model in models if model.model_config.get("extra") != "forbid"} == set()


def test_the_page_is_what_the_routes_give() -> None:
    assert PAGE.read_text() == render(), "run `python docs/describe_api.py`"


class Asked(Body):
    """Anything."""


async def handle(_call: Call) -> Any:
    raise NotImplementedError


async def read(call: Call) -> Any:
    return parse_body(Asked, await read_body(call.request))


@pytest.mark.parametrize(
    "route",
    [
        Route("GET", "/api/ai-api/x", Access.USER, handle, answer=Done),
        Route("GET", "/api/ai-api/x", Access.USER, handle, "X"),
        Route("POST", "/api/ai-api/x", Access.USER, read, "X", answer=Done),
        Route("GET", "/api/ai-api/x", Access.USER, handle, "X", body=Asked, answer=Done),
    ],
)
def test_a_fault_is_found(route: Route) -> None:
    assert faults(route)
