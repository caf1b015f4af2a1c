"""The description of the account API as tests use it: its operations, good requests, and what an answer must be."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jsonschema_rs

from accounts.api.examples import example

Tree = Mapping[str, Any]
PATH = "/api/ai-api/openapi.json"


class Description:
    def __init__(self, tree: Tree) -> None:
        self.tree = tree
        self.named: Tree = tree["components"]["schemas"]
        self.operations = [
            Operation(self, method.upper(), path, operation)
            for path, operations in tree["paths"].items()
            for method, operation in operations.items()
        ]

    def validator(self, schema: Tree) -> jsonschema_rs.Draft202012Validator:
        """Knows what the schema refers to."""
        return jsonschema_rs.Draft202012Validator(
            {**schema, "components": self.tree["components"]}, validate_formats=True
        )

    def resolved(self, schema: Tree) -> Tree:
        return self.named[schema["$ref"].removeprefix("#/components/schemas/")] if "$ref" in schema else schema


@dataclass(frozen=True)
class Operation:
    description: Description
    method: str
    path: str
    tree: Tree

    @property
    def name(self) -> str:
        return str(self.tree["operationId"])

    @property
    def scheme(self) -> str | None:
        """`bearer`, `signature`, or None: for everybody."""
        return next(iter(self.tree["security"][0])) if self.tree["security"] else None

    @property
    def is_for_admins(self) -> bool:
        return "403" in self.tree["responses"] and "forbidden" in str(self.tree["responses"]["403"])

    @cached_property
    def body(self) -> Tree | None:
        """The schema of its JSON body."""
        if "requestBody" not in self.tree:
            return None
        return self.description.resolved(self.tree["requestBody"]["content"]["application/json"]["schema"])

    def parameters(self, place: str) -> dict[str, Tree]:
        """Name -> schema of those in the `path` or the `query`."""
        found = self.tree.get("parameters", ())
        return {parameter["name"]: parameter["schema"] for parameter in found if parameter["in"] == place}

    def good_body(self) -> dict[str, Any]:
        """Whatever must be there, as its example is; and something more where that alone would ask for nothing."""
        schema, named = self.body or {}, self.description.named
        made: dict[str, Any] = example(schema, named, only_required=True)
        optional = [name for name in schema.get("properties", {}) if name not in made]
        missing = schema.get("minProperties", 0) - len(made)
        return made | {name: example(schema["properties"][name], named) for name in optional[: max(0, missing)]}

    def good_path(self) -> str:
        values = {name: str(example(schema, {})) for name, schema in self.parameters("path").items()}
        return self.path.format_map(values)

    def problem(self, status: int, headers: Mapping[str, str], body: bytes) -> str | None:
        """What an answer has that is not described; None: it is as described."""
        response = self.tree["responses"].get(str(status))
        if response is None:
            return f"status {status} is not described"
        if not headers.get("x-request-id"):
            return "no x-request-id"
        media_type = headers["content-type"].partition(";")[0]
        if media_type not in response["content"]:
            return f"content type {media_type} is not described"
        if media_type != "application/json":
            return None
        errors = self._validators[str(status)].iter_errors(json.loads(body))
        return next((f"{error.instance_path}: {error.message}" for error in errors), None)

    @cached_property
    def _validators(self) -> dict[str, jsonschema_rs.Draft202012Validator]:
        return {
            status: self.description.validator(response["content"]["application/json"]["schema"])
            for status, response in self.tree["responses"].items()
            if "application/json" in response["content"]
        }
