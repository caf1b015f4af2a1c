"""The description is made of the routes, and of nothing else."""

from typing import Any

import pytest
from pydantic import Field

from accounts.api.fields import Amount, Body, Moment, Name
from accounts.api.openapi import describe, operation_id, tag_of
from accounts.api.router import Access, Call, Route
from accounts.api.shapes import Answer, Dollars, Done
from accounts.errors import KeyNotFound

BASE = "/api/ai-api"


class NewThing(Body):
    """A thing to be made."""

    name: Name
    amount: Amount = 0
    title: int = Field(default=1, ge=1, description="a field of this name")


class ThingQuery(Body):
    since: Moment | None = None
    limit: int = Field(default=10, ge=1, le=1000)
    kind: str


class Thing(Answer):
    price: Dollars


class Things(Answer):
    things: list[Thing]


async def handle(_call: Call) -> Any:
    raise NotImplementedError


MAKE = Route(
    "POST", f"{BASE}/things", Access.USER, handle, "Make one", body=NewThing, answer=Done, refusals=(KeyNotFound,)
)
LIST = Route("GET", f"{BASE}/things", Access.ADMIN, handle, "List them", query=ThingQuery, answer=Things)
ONE = Route("GET", f"{BASE}/things/{{thingId}}", Access.USER, handle, "One", answer=Thing)
CALLED = Route("GET", f"{BASE}/called/{{name}}", Access.OPEN, handle, "By name", answer=Thing)
FILE = Route("GET", f"{BASE}/things.csv", Access.USER, handle, "As CSV", media_type="text/csv")
HOOK = Route("POST", f"{BASE}/hook", Access.SIGNED, handle, "Hear", answer=Done)
TREE = describe([MAKE, LIST, ONE, CALLED, FILE, HOOK], "1.2.3")


def operation(route: Route) -> Any:
    return TREE["paths"][route.path][route.method.lower()]


def test_head_and_paths() -> None:
    assert (TREE["openapi"], TREE["info"]["version"], TREE["servers"]) == ("3.1.0", "1.2.3", [{"url": "/"}])
    assert {path: list(operations) for path, operations in TREE["paths"].items()} == {
        f"{BASE}/things": ["post", "get"],
        f"{BASE}/things/{{thingId}}": ["get"],
        f"{BASE}/called/{{name}}": ["get"],
        f"{BASE}/things.csv": ["get"],
        f"{BASE}/hook": ["post"],
    }


def test_the_same_routes_give_the_same_description() -> None:
    assert describe([MAKE, LIST, ONE, CALLED, FILE, HOOK], "1.2.3") == TREE


def test_a_body_is_as_strict_as_it_is_read() -> None:
    schema = TREE["components"]["schemas"]["NewThing"]
    assert (schema["additionalProperties"], schema["required"]) == (False, ["name"])
    amount = schema["properties"]["amount"]
    assert (amount["type"], amount["multipleOf"], amount["minimum"], amount["maximum"]) == (
        "number", 1e-9, -9_000_000, 9_000_000
    )  # fmt: skip
    assert (schema["properties"]["name"]["minLength"], schema["properties"]["name"]["maxLength"]) == (1, 100)
    assert operation(MAKE)["requestBody"]["required"] is True


def test_titles_that_say_nothing_are_left_out_and_fields_of_that_name_are_not() -> None:
    schema = TREE["components"]["schemas"]["NewThing"]
    assert "title" not in schema and "title" not in schema["properties"]["name"]
    assert schema["properties"]["title"]["description"] == "a field of this name"


def test_a_query_becomes_parameters_none_of_them_null() -> None:
    found = {parameter["name"]: parameter for parameter in operation(LIST)["parameters"]}
    assert {name: parameter["required"] for name, parameter in found.items()} == {
        "since": False, "limit": False, "kind": True
    }  # fmt: skip
    assert found["limit"]["schema"] == {"type": "integer", "minimum": 1, "maximum": 1000, "default": 10}
    assert {"type": "null"} not in found["since"]["schema"]["anyOf"] and "default" not in found["since"]["schema"]
    assert "ISO 8601" in found["since"]["description"]


def test_a_value_in_a_path_is_an_id_where_it_is_called_one() -> None:
    (thing,) = operation(ONE)["parameters"]
    assert (thing["in"], thing["required"], thing["schema"]["format"]) == ("path", True, "uuid")
    (name,) = operation(CALLED)["parameters"]
    assert name["schema"] == {"type": "string", "minLength": 1, "maxLength": 512}


@pytest.mark.parametrize(
    ("route", "security"),
    [(MAKE, [{"bearer": []}]), (LIST, [{"bearer": []}]), (HOOK, [{"signature": []}]), (CALLED, [])],
)
def test_who_may_call(route: Route, security: Any) -> None:
    assert operation(route)["security"] == security
    assert {name for scheme in security for name in scheme} <= set(TREE["components"]["securitySchemes"])


def test_answers_by_status_each_with_its_codes_and_a_request_id() -> None:
    responses = operation(MAKE)["responses"]
    assert list(responses) == ["200", "400", "401", "404", "413", "415", "500", "503"]
    assert all("x-request-id" in response["headers"] for response in responses.values())
    refused = responses["404"]["content"]["application/json"]["schema"]
    assert (refused["required"], refused["properties"]["code"]["enum"]) == (["error", "code"], ["key_not_found"])
    assert "somebody else's" in responses["404"]["description"]


def test_a_file_is_described_by_what_it_is_made_of() -> None:
    assert operation(FILE)["responses"]["200"]["content"] == {"text/csv": {"schema": {"type": "string"}}}


def test_a_signed_body_is_any_object() -> None:
    assert operation(HOOK)["requestBody"]["content"] == {"application/json": {"schema": {"type": "object"}}}


@pytest.mark.parametrize(
    ("route", "name", "tag"),
    [(MAKE, "post_things", "things"), (ONE, "get_things_thingId", "things"), (FILE, "get_things_csv", "things")],
)
def test_names(route: Route, name: str, tag: str) -> None:
    assert (operation_id(route), tag_of(route)) == (name, tag)
