"""The account API described as OpenAPI 3.1, from the table of routes. What is not in the table is not described.

Pure: the same routes and version give the same description, to the byte.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, JsonSchemaValue, models_json_schema

from accounts.api.refusals import refusals
from accounts.api.router import Access, Route

Tree = dict[str, Any]

_REF = "#/components/schemas/{model}"
_PATH_VALUE = re.compile(r"\{(\w+)\}")
# What the table of paths takes for one (see `proxy.http.routes`).
_MAX_PATH_VALUE_CHARS = 512
_ABOUT = """\
Keys, wallets and payments of the users of Farebox. A bearer token (JWT) says who calls. Money is a number of dollars,
exact to nine decimals: read it as a decimal, not as a float. Fields that are not described are refused.
Every answer carries `x-request-id`; errors are `{"error", "code"}`, and programs go by `code`."""
_WHO = {
    Access.USER: "For any user's token.",
    Access.ADMIN: "For administrators' tokens.",
    Access.SIGNED: "Without a token: the body is signed.",
    Access.OPEN: "Without a token.",
}
_BEARER = [{"bearer": list[str]()}]
_SECURITY: Mapping[Access, list[Tree]] = {
    Access.USER: _BEARER,
    Access.ADMIN: _BEARER,
    Access.SIGNED: [{"signature": []}],
    Access.OPEN: [],
}
_SECURITY_SCHEMES = {
    "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT", "description": "`sub` is the user's id"},
    "signature": {"type": "apiKey", "in": "header", "name": "Stripe-Signature", "description": "by Stripe"},
}
_REQUEST_ID = {
    "description": "names this request in our logs",
    "required": True,
    "schema": {"type": "string", "format": "uuid"},
}
_HEADERS = {"x-request-id": {"$ref": "#/components/headers/RequestId"}}


def describe(routes: Sequence[Route], version: str) -> Tree:
    """The whole description, as JSON."""
    found, named = _schemas(routes)
    paths: Tree = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, found, named)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Farebox account API", "version": version, "description": _ABOUT},
        "servers": [{"url": "/"}],
        "tags": [{"name": name} for name in dict.fromkeys(map(tag_of, routes))],
        "paths": paths,
        "components": {
            "schemas": named,
            "headers": {"RequestId": _REQUEST_ID},
            "securitySchemes": _SECURITY_SCHEMES,
        },
    }


def tag_of(route: Route) -> str:
    """`/api/ai-api/keys/rotate` is about keys, `/api/ai-api/usage.csv` about usage."""
    return route.path.split("/")[3].partition(".")[0]


def operation_id(route: Route) -> str:
    """Unique, because method and path together are: `delete_keys`, `post_admin_credits_bonus`."""
    return "_".join([route.method.lower(), *re.findall(r"\w+", route.path.split("/", 3)[3])])


Models = Mapping[tuple[Any, JsonSchemaMode], JsonSchemaValue]


def _schemas(routes: Iterable[Route]) -> tuple[Models, Tree]:
    """Of every model its reference, and all that is referred to by name. Queries become parameters, one by one."""
    wanted: dict[tuple[type[BaseModel], JsonSchemaMode], None] = {}
    for route in routes:
        for model in (route.body, route.query):
            if model is not None:
                wanted[model, "validation"] = None
        if route.answer is not None:
            wanted[route.answer, "serialization"] = None
    found, tree = models_json_schema(list(wanted), ref_template=_REF)
    return found, {name: _without_titles(schema) for name, schema in tree.get("$defs", {}).items()}


def _without_titles(schema: Any) -> Any:
    """A title that repeats a field's name says nothing. A field may be called `title` all the same."""
    if isinstance(schema, list):
        return [_without_titles(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        name: {field: _without_titles(part) for field, part in value.items()}
        if name == "properties"
        else _without_titles(value)
        for name, value in schema.items()
        if name != "title"
    }


def _operation(route: Route, found: Models, named: Tree) -> Tree:
    operation: Tree = {
        "operationId": operation_id(route),
        "summary": route.summary,
        "description": _WHO[route.access],
        "tags": [tag_of(route)],
        "security": _SECURITY[route.access],
    }
    parameters = [*_path_parameters(route), *_query_parameters(route, found, named)]
    if parameters:
        operation["parameters"] = parameters
    if route.body is not None:
        operation["requestBody"] = _content(found[route.body, "validation"]) | {"required": True}
    elif route.access is Access.SIGNED:
        operation["requestBody"] = _content({"type": "object"}) | {"required": True}
    operation["responses"] = _responses(route, found)
    return operation


def _path_parameters(route: Route) -> list[Tree]:
    schema: Tree = {"type": "string", "minLength": 1, "maxLength": _MAX_PATH_VALUE_CHARS}
    return [
        {
            "name": name,
            "in": "path",
            "required": True,
            "schema": {"type": "string", "format": "uuid"} if name.lower().endswith("id") else schema,
        }
        for name in _PATH_VALUE.findall(route.path)
    ]


def _query_parameters(route: Route, found: Models, named: Tree) -> list[Tree]:
    if route.query is None:
        return []
    name = found[route.query, "validation"]["$ref"].removeprefix("#/components/schemas/")
    schema = named[name]
    return [
        _parameter(field, part, field in schema.get("required", ())) for field, part in schema["properties"].items()
    ]


def _parameter(name: str, schema: Tree, is_required: bool) -> Tree:
    """A parameter that may be left out cannot be null: the text of a query has no word for it."""
    rest = {key: value for key, value in schema.items() if key not in ("description", "anyOf")}
    choices = [choice for choice in schema.get("anyOf", ()) if choice != {"type": "null"}]
    if len(choices) == 1:
        rest = choices[0] | rest
    elif choices:
        rest["anyOf"] = choices
    if rest.get("default", ...) is None:
        del rest["default"]
    description = schema.get("description") or rest.pop("description", None)
    said = {"description": description} if description else {}
    return {"name": name, "in": "query", "required": is_required, "schema": rest} | said


def _responses(route: Route, found: Models) -> Tree:
    answer = {} if route.answer is None else found[route.answer, "serialization"]
    success = _content(answer if route.answer else {"type": "string"}, route.media_type)
    responses: Tree = {"200": {"description": "Done.", "headers": _HEADERS} | success}
    for status, codes in refusals(route).items():
        said = " ".join(f"`{code}`: {when}" for code, when in codes.items())
        responses[str(status)] = {"description": said, "headers": _HEADERS} | _content(_refusal(list(codes)))
    return responses


def _refusal(codes: list[str]) -> Tree:
    return {
        "type": "object",
        "properties": {
            "error": {"type": "string", "description": "for people; may change"},
            "code": {"type": "string", "enum": codes},
        },
        "required": ["error", "code"],
        "additionalProperties": False,
    }


def _content(schema: Tree, media_type: str = "application/json") -> Tree:
    return {"content": {media_type: {"schema": schema}}}
