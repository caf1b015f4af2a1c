"""Examples are what their schema describes."""

from typing import Any

import jsonschema_rs
import pytest

from accounts.api.examples import example

NAMED: dict[str, Any] = {"Inner": {"type": "object", "properties": {"id": {"type": "string", "format": "uuid"}}}}
REF = {"$ref": "#/components/schemas/Inner"}


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "string"},
        {"type": "integer"},
        {"type": "number"},
        {"type": "boolean"},
        {"type": "null"},
        {"type": "string", "format": "uuid"},
        {"type": "string", "format": "date-time"},
        {"type": "string", "format": "date"},
        {"enum": ["a", "b"]},
        {"const": 5},
        {"anyOf": [{"type": "integer"}, {"type": "null"}]},
        {"type": "array", "items": {"type": "integer"}},
        {"type": "object", "additionalProperties": {"type": "integer"}, "minProperties": 1},
        {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"], "additionalProperties": False},
    ],
    ids=str,
)
def test_an_example_is_valid(schema: dict[str, Any]) -> None:
    assert jsonschema_rs.Draft202012Validator(schema, validate_formats=True).is_valid(example(schema, {}))


def test_the_example_that_is_given_is_taken() -> None:
    assert example({"type": "string", "examples": ["laptop", "phone"]}, {}) == "laptop"
    assert example({"type": "integer", "default": 60}, {}) == 60


def test_what_is_referred_to_is_looked_up() -> None:
    inner = {"id": "0b0b0b0b-0000-4000-8000-000000000002"}
    assert example(REF, NAMED) == inner
    assert example({"type": "array", "items": REF}, NAMED) == [inner]


def test_what_may_be_left_out_is_if_asked_for() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "null"}}, "required": ["a"]}
    assert example(schema, {}) == {"a": 1, "b": None}
    assert example(schema, {}, only_required=True) == {"a": 1}
