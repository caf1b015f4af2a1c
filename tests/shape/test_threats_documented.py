"""Every threat in docs/THREAT_MODEL.md names the tests that show what stops it, and these exist; so do its modules."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from tests.shape.tree import ROOT, functions

PAGE = (ROOT / "docs" / "THREAT_MODEL.md").read_text()
_TABLES = PAGE.split("## What stops them", 1)[1].split("## Not stopped", 1)[0]
_ROW = re.compile(r"^\| (.+) \| (.+) \| (.+) \|$", re.MULTILINE)
_TEST = re.compile(r"`((?:unit|integration|acceptance|conformance|shape)/[\w/]+\.py)::(\w+)`")
_MODULE = re.compile(r"`((?:proxy|accounts|metering|ledger|runtime)/[\w/.]+)`")
THREATS = [row for row in _ROW.findall(_TABLES) if row[0] != "threat"]


@cache
def names_in(path: Path) -> frozenset[str]:
    return frozenset(function.name for function in functions(ast.parse(path.read_text())))


def faults(shown_by: str) -> list[str]:
    named = _TEST.findall(shown_by)
    if ", ".join(f"`{path}::{name}`" for path, name in named) != shown_by:
        return [f"not a list of tests: {shown_by}"]
    tests = ROOT / "tests"
    return [f"{path}::{name}" for path, name in named if not is_there(tests / path, name)]


def is_there(path: Path, name: str) -> bool:
    return name.startswith("test_") and path.is_file() and name in names_in(path)


@pytest.mark.parametrize("row", THREATS, ids=lambda row: row[0])
def test_what_stops_a_threat_is_shown(row: tuple[str, str, str]) -> None:
    assert faults(row[2]) == []


def test_there_are_threats() -> None:
    assert len(THREATS) > 70


def test_the_modules_that_are_named_exist() -> None:
    named = _MODULE.findall(PAGE)
    assert named and [path for path in named if not (ROOT / path).exists()] == []


@pytest.mark.parametrize(
    "shown_by",
    [
        "by nothing",
        "`unit/proxy/keys/test_verifier.py::test_that_was_never_written`",
        "`unit/proxy/test_nothing.py::test_closing_ends_look_ups_under_way`",
        "`unit/proxy/keys/test_verifier.py::verify`",
    ],
)
def test_a_fault_is_found(shown_by: str) -> None:
    assert faults(shown_by)
