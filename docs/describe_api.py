"""Writes `docs/API.md` from the description of the account API: run `python docs/describe_api.py` after a change.

The description is made of the routes themselves, with everything configured. Page and program cannot drift apart:
tests/shape/test_api_page.py compares them.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from accounts.api.description import with_description
from accounts.api.examples import example
from accounts.api.openapi import describe, tag_of
from accounts.api.refusals import Refusals, refusals
from accounts.api.router import Route
from accounts.api.shapes import DOLLARS
from proxy.account_api import account_routes
from runtime.settings import Config

PAGE = Path(__file__).with_name("API.md")
Tree = Mapping[str, Any]

_REF = "#/components/schemas/"
_NO_VERSION = "0"
# Every route that a setting brings into being; nothing of it is ever connected to.
_EVERYTHING = {
    "database": {"url": "postgresql://localhost/docs"},
    "redis": {"url": "redis://localhost"},
    "keys": {"pepper": "x" * 32},
    "stripe": {"secret_key": "sk_test_docs", "webhook_secrets": ["whsec_docs"]},
    "upstreams": [{"name": "docs", "url": "http://localhost/v1", "models": ["*"]}],
}
_HEAD = """\
# The HTTP API

<!-- Written from the routes by docs/describe_api.py. Change the routes, not this page. -->

There are two kinds of routes. The **gateway** is what programs call, with API keys; the **account API** is what people
and their sites call, with user tokens. An API key is no user token, and a user token no API key.

## Gateway

`Authorization: Bearer pp_live-…` or `x-api-key: pp_live-…`. The routes are those of the LLM servers behind it
(`POST /v1/chat/completions` and its kin), each also under `/api/v1`; besides them `GET /v1/models`,
`/v1/models/{id}` and `/v1/usage/{request_id}`. [BEHAVIOUR.md](BEHAVIOUR.md) lists every refusal and what is billed.

## Account API

`Authorization: Bearer <JWT>`, whose `sub` is the user's id; config.yaml's `identity` says whose tokens are taken and
who is an administrator. A running Farebox serves this page's source, for the routes that it has, as OpenAPI 3.1:
`GET /api/ai-api/openapi.json`. Administrators' routes are served where `listen.admin` or `listen.admin_on_public_port`
says, or nowhere.

- Bodies are JSON objects of at most 64 KiB, sent as `content-type: application/json`. Fields that are not listed, and
  fields that come twice, are refused.
- Money is a number of dollars, exact to nine decimals: read it as a decimal, not as a float.
- Dates are ISO 8601. Without an offset they are UTC.
- Every answer has an `x-request-id`. Errors are `{"error": "for people; may change", "code": "for_programs"}`.
- What belongs to somebody else is not there: 404.

What several routes refuse with; the last two every route, so that they are not repeated below:

"""
_ALWAYS = ("internal_error", "unavailable")
COMMON = (
    "invalid_request", "invalid_token", "forbidden", "request_too_large", "unsupported_media_type", "internal_error",
    "unavailable",
)  # fmt: skip


def all_routes() -> list[Route]:
    """Every route of the account API, as if everything were configured."""
    unused: Any = _Unused()
    configured = account_routes(AsyncExitStack(), Config.model_validate(_EVERYTHING), unused)
    return with_description(configured, _NO_VERSION)


def render() -> str:
    """The whole page."""
    routes = all_routes()
    described = describe(routes, _NO_VERSION)
    parts = [_HEAD + _common(routes)]
    for tag in described["tags"]:
        parts.append(f"### {tag['name']}\n")
        for route in routes:
            if tag_of(route) == tag["name"]:
                operation = described["paths"][route.path][route.method.lower()]
                parts.append(_operation(route, operation, described["components"]["schemas"]))
    return "\n".join(parts)


def _common(routes: list[Route]) -> str:
    told = {
        code: (status, when)
        for route in routes
        for status, codes in refusals(route).items()
        for code, when in codes.items()
    }
    rows = [f"| `{code}` | {told[code][0]} | {told[code][1]} |" for code in COMMON]
    return "\n".join(["| code | status | when |", "|---|---|---|", *rows]) + "\n"


class _Unused:
    """Stands for whatever a route would talk to: the routes are listed, not called."""

    def __getattr__(self, _name: str) -> "_Unused":
        return self


def _operation(route: Route, operation: Tree, named: Tree) -> str:
    blocks = [f"#### `{route.method} {route.path}`", f"{_sentence(route.summary)} {operation['description']}"]
    blocks += _table("parameter", _parameters(operation))
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
    if body:
        resolved = _resolve(body, named)
        blocks += _described(resolved)
        blocks += _table("field", _fields(resolved, named))
    blocks += _answer(operation["responses"]["200"], named)
    blocks += _errors(refusals(route))
    return "\n\n".join(blocks) + "\n"


def _sentence(text: str) -> str:
    return text if not text or text.endswith(".") else f"{text}."


def _described(schema: Tree) -> list[str]:
    return [schema["description"]] if schema.get("description") else []


def _parameters(operation: Tree) -> Iterator[tuple[str, str, str, str]]:
    for parameter in operation.get("parameters", ()):
        required = "yes" if parameter["required"] else ""
        name = f"`{parameter['name']}`" + (" (in the path)" if parameter["in"] == "path" else "")
        yield name, _kind(parameter["schema"], {}), required, _meaning(parameter["schema"] | _said(parameter))


def _said(tree: Tree) -> dict[str, Any]:
    return {"description": tree["description"]} if "description" in tree else {}


def _fields(schema: Tree, named: Tree, before: str = "") -> Iterator[tuple[str, str, str, str]]:
    """Name, type, needed, meaning; the fields of an object within are listed after it: `wallet.balance`."""
    fields, needed = schema.get("properties", {}), schema.get("required", ())
    for name, part in sorted(fields.items(), key=lambda field: not before and field[0] not in needed):
        required = "yes" if name in needed else ""
        inner, mark = _inner(part, named)
        yield f"`{before}{name}`", _kind(part, named), required, _meaning(part) or _meaning(inner or {})
        if inner:
            yield from _fields(inner, named, f"{before}{name}{mark}.")


def _inner(part: Tree, named: Tree) -> tuple[Tree | None, str]:
    """The object that a field holds, and how that is written: itself, one of a list, one of a map."""
    for choice in (part, *part.get("anyOf", ())):
        found, mark = choice, ""
        if "items" in found:
            found, mark = found["items"], "[]"
        elif isinstance(found.get("additionalProperties"), Mapping):
            found, mark = found["additionalProperties"], ".*"
        found = _resolve(found, named)
        if found.get("properties"):
            return found, mark
    return None, ""


def _kind(schema: Tree, named: Tree) -> str:
    if "$ref" in schema:
        return _kind(_resolve(schema, named), named)
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(_kind(choice, named) for choice in schema["anyOf"]))
    if "enum" in schema or "const" in schema:
        return " or ".join(f"`{json.dumps(value)}`" for value in schema.get("enum", [schema.get("const")]))
    if schema.get("type") == "array":
        return f"list of {_kind(schema.get('items', {}), named)}{_bounds(schema)}"
    kind = str(schema.get("format") or schema.get("type") or "anything")
    return kind + _bounds(schema)


_BOUNDS = (
    ("exclusiveMinimum", "more than {}"),
    ("minimum", "from {}"),
    ("maximum", "to {}"),
    ("exclusiveMaximum", "less than {}"),
)


def _bounds(schema: Tree) -> str:
    said = [words.format(f"{schema[name]:,}") for name, words in _BOUNDS if name in schema]
    if "maxLength" in schema:
        said.append(f"{schema.get('minLength', 0)} to {schema['maxLength']} characters")
    if "maxItems" in schema:
        said.append(f"{schema.get('minItems', 0)} to {schema['maxItems']} of them")
    return f", {' '.join(said)}" if said else ""


def _meaning(schema: Tree) -> str:
    tellers = (schema, *schema.get("anyOf", ()))
    said = [str(teller["description"]) for teller in tellers if teller.get("description")][:1]
    if schema.get("default") is not None:
        said.append(f"default `{json.dumps(schema['default'])}`")
    return "; ".join(said).replace("\n", " ").replace("|", "\\|")


def _table(what: str, rows: Iterable[tuple[str, str, str, str]]) -> list[str]:
    lines = [f"| {name} | {kind} | {required} | {meaning} |" for name, kind, required, meaning in rows]
    return ["\n".join([f"| {what} | type | required | |", "|---|---|---|---|", *lines])] if lines else []


def _answer(response: Tree, named: Tree) -> list[str]:
    ((media_type, content),) = response["content"].items()
    if media_type != "application/json":
        return [f"Answer: `{media_type}`."]
    schema = _resolve(content["schema"], named)
    told = [row for row in _fields(schema, named) if row[3] and row[3] != DOLLARS and row[0] != "`success`"]
    shown = f"```json\n{json.dumps(example(schema, named), indent=2, ensure_ascii=False)}\n```"
    return ["Answer, 200:", shown, *_described(schema), *_list(told)]


def _list(rows: Iterable[tuple[str, str, str, str]]) -> list[str]:
    lines = [f"- {name}: {meaning}" for name, _, _, meaning in rows]
    return ["\n".join(lines)] if lines else []


def _errors(refused: Refusals) -> list[str]:
    """In one line all codes; then what those mean that the head does not tell of."""
    if not refused:
        return []
    told = {status: [f"`{code}`" for code in codes if code not in _ALWAYS] for status, codes in refused.items()}
    line = ", ".join(f"{status} {' '.join(codes)}" for status, codes in told.items() if codes)
    own = [f"- `{code}`: {codes[code]}" for codes in refused.values() for code in codes if code not in COMMON]
    return [f"Errors: {line}.", *(["\n".join(own)] if own else [])]


def _resolve(schema: Tree, named: Tree) -> Tree:
    return named[schema["$ref"].removeprefix(_REF)] if "$ref" in schema else schema


if __name__ == "__main__":
    PAGE.write_text(render())
