"""An example of what a JSON schema describes: the one it brings along, or else one made by its type."""

from collections.abc import Mapping
from typing import Any

Schema = Mapping[str, Any]

_REF = "#/components/schemas/"
_BY_FORMAT = {
    "uuid": "0b0b0b0b-0000-4000-8000-000000000002",
    "date-time": "2026-11-22T10:00:00Z",
    "date": "2026-11-22",
}
# What text in a field of this name looks like, where the schema does not say.
_BY_NAME = {
    "action": "credits.bonus",
    "allowed_ips": "192.0.2.0/24",
    "allowed_models": "pipilot-1-chat",
    "allowed_routes": "/v1/chat/completions",
    "apiKey": "pp_live-Xy7dQm2vT0aBcDeFgHiJkLmNoPqRsTuV",
    "currency": "USD",
    "description": "welcome",
    "email": "ana@example.com",
    "end_reason": "completed",
    "endpoint": "/v1/chat/completions",
    "keyPrefix": "pp_live-Xy7dQm2",
    "key_prefix": "pp_live-Xy7dQm2",
    "last4": "4242",
    "message": "Done.",
    "model": "pipilot-1-chat",
    "name": "laptop",
    "reason": "as agreed",
    "sessionId": "cs_test_a1B2c3",
    "stripeCustomerId": "cus_A1b2C3",
    "type": "bonus",
    "url": "https://checkout.stripe.com/c/pay/cs_test_a1B2c3",
    "usage_source": "reported",
    "warning": "Store this key now. It is not shown again.",
}
_BY_TYPE: Mapping[str, Any] = {"boolean": True, "integer": 1, "number": 12.5, "null": None}


def example(schema: Schema, named: Mapping[str, Schema], *, only_required: bool = False, name: str = "") -> Any:
    """`named` are the schemas that references point to. With `only_required` what may be left out of an object is.

    `name` is that of the field, if it is one.
    """
    if "$ref" in schema:
        return example(named[schema["$ref"].removeprefix(_REF)], named, only_required=only_required)
    if schema.get("examples"):
        return schema["examples"][0]
    if "const" in schema:
        return schema["const"]
    if schema.get("enum"):
        return schema["enum"][0]
    for choice in ("anyOf", "oneOf", "allOf"):
        if choice in schema:
            return example(schema[choice][0], named, only_required=only_required, name=name)
    return _by_type(schema, named, only_required, name)


def _by_type(schema: Schema, named: Mapping[str, Schema], only_required: bool, name: str) -> Any:
    kind = schema.get("type")
    if kind == "object":
        return _object(schema, named, only_required)
    if kind == "array":
        return [example(schema.get("items", {}), named, only_required=only_required, name=name)]
    if kind == "string":
        return _BY_FORMAT.get(schema.get("format", "")) or _BY_NAME.get(name, "text")
    if kind == "integer" and schema.get("default") is not None:
        return schema["default"]
    return _BY_TYPE.get(str(kind))


def _object(schema: Schema, named: Mapping[str, Schema], only_required: bool) -> dict[str, Any]:
    fields = schema.get("properties", {})
    wanted = schema.get("required", ()) if only_required else fields
    made = {name: example(fields[name], named, only_required=only_required, name=name) for name in wanted}
    others = schema.get("additionalProperties")
    if isinstance(others, Mapping):
        made["name"] = example(others, named, only_required=only_required)
    return made
