"""config.yaml has a line for every setting, with the default that is in force; editors are told the same."""

import json
import re
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import yaml
from pydantic import TypeAdapter

from docs import tabulate_settings
from docs.describe_settings import FILE, SCHEMA, documented, render
from runtime.config import OVERRIDES, load
from runtime.settings import Config
from runtime.settings.outline import FILE_SUFFIX, leaves, secrets_of, section_at
from tests.shape.tree import ROOT

PAGE = FILE.read_text()
LINES = documented(PAGE)
LEAVES = {".".join(place): field for place, field in leaves(Config)}
VALIDATOR = jsonschema_rs.Draft202012Validator(json.loads(SCHEMA.read_text()))
# What shows an example, because what stands there without it is "nothing", or something else's value.
EXAMPLES = {
    "notices.webhooks.name": "an endpoint's host",
    "notices.webhooks.secrets": "at least one",
    "stripe.auto_topup.max_amount": "that of a checkout",
    "upstreams.name": "the one upstream that the file begins with",
}
ENVIRONMENT = {
    "FAREBOX_DATABASE_URL": "postgresql://h/d",
    "FAREBOX_REDIS_URL": "redis://h",
    "FAREBOX_KEY_PEPPER": "p" * 32,
}


def test_every_setting_has_its_line_and_says_what_it_is_for() -> None:
    assert sorted(LEAVES.keys() - LINES.keys()) == []
    silent = {name for name, line in LINES.items() if name in LEAVES and not line.text}
    assert silent <= SAYS_ALL_BY_ITSELF, "say what it is for"


SAYS_ALL_BY_ITSELF = {f"upstreams.{name}" for name in ("name", "url", "models", "connect_timeout_s", "max_connections")}


@pytest.mark.parametrize("name", sorted(name for name in LEAVES if LINES[name].is_commented))
def test_what_is_commented_out_shows_the_default_in_force(name: str) -> None:
    field, shown = LEAVES[name], yaml.safe_load(LINES[name].shown)
    if field.is_required() or name in EXAMPLES:
        return
    default = field.get_default(call_default_factory=True)
    if shown is None:
        assert default in (None, (), {}), f"{name}: its default is {default}"
    else:
        adapter: TypeAdapter[Any] = TypeAdapter(field.rebuild_annotation())
        assert adapter.validate_python(shown) == default


def test_the_file_with_nothing_commented_out_is_a_configuration(tmp_path: Path) -> None:
    """So nothing in it is indented wrongly, or called by another name."""
    _, _, body = PAGE.partition("\nlisten:")
    settings = [re.sub(r"^( *)# ?(?= *(- )?[a-z0-9_*-]+:( |$))", r"\1", line) for line in f"listen:{body}".splitlines()]
    tree = yaml.safe_load("\n".join(settings))
    assert set(tree) == set(Config.model_fields)
    tree["notices"]["webhooks"][0]["secrets"] = ["whsec_" + "QUFB" * 8]
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(tree))
    load(path, ENVIRONMENT)
    VALIDATOR.validate(yaml.safe_load(path.read_text()))


def test_the_head_of_the_file_names_every_variable_and_every_secret() -> None:
    head = PAGE.split("\nlisten:")[0]
    assert {name for name in OVERRIDES if name not in head} == set()
    secrets = {name for place, _ in leaves(Config) if (section := section_at(Config, place[:-1]))
               for name in secrets_of(section) if name == place[-1]}  # fmt: skip
    assert len(secrets) > 6
    assert {name for name in secrets if not re.search(rf"\b{name}\b", head)} == set()


def test_the_schema_is_what_the_settings_and_the_file_give() -> None:
    assert SCHEMA.read_text() == render(), "run `python docs/describe_settings.py`"


def test_it_is_a_schema_and_the_file_is_good_by_it() -> None:
    jsonschema_rs.meta.validate(json.loads(SCHEMA.read_text()))
    VALIDATOR.validate(yaml.safe_load(PAGE))
    assert PAGE.startswith(f"# yaml-language-server: $schema={SCHEMA.name}\n")


GOOD: list[dict[str, Any]] = [
    {},
    {"listen": None},
    {"listen": {"port": "${PORT:-8080}", "trusted_proxies": "10.0.0.0/8, ::1"}},
    {"listen": {"trusted_proxies": ["10.0.0.0/8"]}},
    {"redis": {"url_file": "/run/secrets/redis", "nodes": ["h:6379"]}},
    {"upstreams": [{"url": "http://h", "api_key_file": "/run/secrets/llm", "models": ["a", "b"]}]},
    {"identity": {"audience": "one", "admin_user_ids": ["00000000-0000-0000-0000-000000000001"]}},
    {"tokenizers": {"a*": "o200k_base"}},
]
BAD: list[dict[str, Any]] = [
    {"lsiten": {}},
    {"listen": {"prot": 1}},
    {"listen": {"port": 65_536}},
    {"listen": {"port": "eighty"}},
    {"listen": {"admin": {}}},
    {"upstreams": [{"url": "http://h", "kind": "vlm"}]},
    {"upstreams": [{"url": "http://h", "url_file": "x"}]},
    {"upstreams": {"url": "http://h"}},
    {"log": {"level": "loud"}},
    {"notices": {"smtp": {"host": "h"}}},
]


@pytest.mark.parametrize("tree", GOOD, ids=str)
def test_what_the_program_takes_an_editor_takes(tree: dict[str, Any]) -> None:
    VALIDATOR.validate(tree)


@pytest.mark.parametrize("tree", BAD, ids=str)
def test_what_the_program_refuses_an_editor_marks(tree: dict[str, Any]) -> None:
    assert not VALIDATOR.is_valid(tree)


@pytest.mark.parametrize("path", sorted((ROOT / "tests" / "data" / "config").glob("bad_unknown*.yaml")), ids=str)
def test_an_editor_finds_what_is_unknown(path: Path) -> None:
    assert not VALIDATOR.is_valid(yaml.safe_load(path.read_text()))


def test_every_setting_has_its_row_for_operators() -> None:
    page = tabulate_settings.PAGE.read_text()
    assert page == tabulate_settings.written(page), "run `python docs/tabulate_settings.py`"
    assert {name for name in LEAVES if f"| `{name}` |" not in page} == set()


def test_the_reader_of_the_file_finds_what_it_is_for() -> None:
    page = (
        "# a: word\nlisten:   # where\n  port: 1   # which\n  #         # one\n  # admin:  # another\n  #   port: 2\n"
    )
    found = documented(page)
    assert list(found) == ["listen", "listen.port", "listen.admin", "listen.admin.port"]
    assert (found["listen.port"].shown, found["listen.port"].text) == ("1", "which one")
    assert (found["listen.admin"].text, found["listen.admin.port"].is_commented) == ("another", True)
    assert FILE_SUFFIX == "_file"
