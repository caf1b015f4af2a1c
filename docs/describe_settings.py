"""Writes `config.schema.json` from the settings and what config.yaml says of them.

Run `python docs/describe_settings.py` after a change of either.

Editors complete and check a configuration with it (config.yaml names it in its first line). Schema, file and program
cannot drift apart: tests/shape/test_settings_documented.py compares them.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BeforeValidator
from pydantic.fields import FieldInfo
from pydantic.json_schema import GenerateJsonSchema

from runtime.config import OVERRIDES
from runtime.settings import Config
from runtime.settings.outline import FILE_SUFFIX, Section, is_list, secrets_of, section_in, settings_of

ROOT = Path(__file__).parents[1]
FILE = ROOT / "config.yaml"
SCHEMA = ROOT / "config.schema.json"
Tree = dict[str, Any]

_COMMENTED = re.compile(r"^( *)# ?(.*)$")
_SETTING = re.compile(r"^( *)(- )?([a-z0-9_]+):(?: +([^#\s].*?))?(?: +# (.*))?$")
_TEXT = re.compile(r"^.*?# +(.*)$")
# What may stand wherever a number or a word may.
_VARIABLE = {"type": "string", "pattern": r"\$\{"}


@dataclass(slots=True)
class Line:
    """A setting as config.yaml shows it. `shown`: the text after its colon; `is_commented`: so it shows the default."""

    shown: str
    text: str
    is_commented: bool


def documented(page: str) -> dict[str, Line]:
    """Dotted name -> its line, with the lines of comment that follow it. What names no setting is prose."""
    known = set(_places(Config))
    found: dict[str, Line] = {}
    above: list[tuple[int, str]] = []
    last: Line | None = None
    for written in page.splitlines():
        commented = _COMMENTED.match(written)
        line = written if commented is None else commented.group(1) + commented.group(2)
        setting = _SETTING.match(line)
        if setting is not None:
            column = len(setting.group(1)) + len(setting.group(2) or "")
            within = [each for each in above if each[0] < column]
            place = ".".join([*(name for _, name in within), setting.group(3)])
            if place in known:
                above = [*within, (column, setting.group(3))]
                last = Line(setting.group(4) or "", setting.group(5) or "", commented is not None)
                found[place] = last
                continue
        more = _TEXT.match(line)
        if last is not None and more is not None:
            last.text = f"{last.text} {more.group(1)}".strip()
        elif not line.strip():
            last = None
    return found


def _places(section: Section, before: str = "") -> Iterator[str]:
    """Dotted names of all settings, and of the sections that they stand in."""
    for name, field in settings_of(section).items():
        yield f"{before}{name}"
        inner = section_in(field.annotation)
        if inner is not None:
            yield from _places(inner, f"{before}{name}.")


def render() -> str:
    """The whole schema, as it is committed."""
    schema = Config.model_json_schema(schema_generator=_Generator)
    named = schema.pop("$defs")
    lines = documented(FILE.read_text())
    filled = _section(Config, schema, named, lines, "")
    head = {
        "$schema": GenerateJsonSchema.schema_dialect,
        "title": "Farebox's configuration",
        "$comment": "Written by docs/describe_settings.py. Change the settings or config.yaml, not this file.",
    }
    return json.dumps(head | filled, indent=1, ensure_ascii=False) + "\n"


class _Generator(GenerateJsonSchema):
    """What only Python can check is described by the type that it is written in."""

    def handle_invalid_for_json_schema(self, schema: Any, error_info: str) -> Tree:
        return {"type": "string"}


def _section(section: Section, schema: Tree, named: Tree, lines: Mapping[str, Line], before: str) -> Tree:
    properties: Tree = {}
    secrets = secrets_of(section)
    for name, field in settings_of(section).items():
        place = f"{before}{name}"
        inner = section_in(field.annotation)
        shape = _shape(schema["properties"][name], field, named, inner, lines, place)
        line = lines.get(place)
        described = {"description": line.text} if line is not None and line.text else {}
        properties[name] = described | shape
        if name in secrets:
            properties[f"{name}{FILE_SUFFIX}"] = {
                "description": f"The path of a file with {name} in it.",
                "type": "string",
            }
    return {
        "type": ["object", "null"],
        "additionalProperties": False,
        "properties": properties,
        **_required(schema, secrets, before),
    }


def _required(schema: Tree, secrets: Mapping[str, Any], before: str) -> Tree:
    """Without what the environment may say, and what may come by a file."""
    given = {dotted.replace(".0.", ".") for dotted in OVERRIDES.values()}
    needed = [
        name
        for name in schema.get("required", ())
        if name not in secrets
        and not any(each == f"{before}{name}" or each.startswith(f"{before}{name}.") for each in given)
    ]
    return {"required": needed} if needed else {}


def _shape(
    found: Tree, field: FieldInfo, named: Tree, inner: Section | None, lines: Mapping[str, Line], place: str
) -> Tree:
    """One setting's schema, with what it refers to put in its place."""
    default = {} if found.get("default") in (None, [], {}) or inner is not None else {"default": found["default"]}
    if inner is not None:
        body = _section(inner, _referred(found, named), named, lines, f"{place}.")
        return {"type": ["array", "null"], "items": body} if is_list(field.annotation) else body
    if any(isinstance(each, BeforeValidator) for each in field.metadata):  # a list, or text with commas
        return default | {"anyOf": [{"type": "array", "items": {"type": "string"}}, {"type": ["string", "null"]}]}
    choices = _choices(_resolved(found, named))
    also = [] if {"type": "string"} in choices else [_VARIABLE]
    nothing = [] if {"type": "null"} in choices else [{"type": "null"}]
    return default | {"anyOf": [*choices, *nothing, *also]}


def _referred(found: Tree, named: Tree) -> Tree:
    """The section's own schema, wherever in `found` it is referred to."""
    (name,) = set(re.findall(r'"#/\$defs/(\w+)"', json.dumps(found)))
    referred: Tree = named[name]
    return referred


def _resolved(found: Tree, named: Tree) -> Tree:
    if "$ref" in found:
        return _resolved(named[found["$ref"].removeprefix("#/$defs/")], named)
    return {name: value for name, value in found.items() if name != "title"}


def _choices(plain: Tree) -> list[Tree]:
    """What may stand there. A password is shown as it is typed: it is a reference or a placeholder, if all is well."""
    dropped = ("title", "default", "writeOnly", "format")
    return [
        {name: value for name, value in each.items() if name not in dropped} for each in plain.get("anyOf", [plain])
    ]


if __name__ == "__main__":
    SCHEMA.write_text(render())
