"""Every row of the table in docs/RELIABILITY.md names the tests that show it, and these exist."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from tests.shape.tree import ROOT, functions

PAGE = (ROOT / "docs" / "RELIABILITY.md").read_text()
_TABLE = PAGE.split("## When things fail", 1)[1].split("\n## ", 1)[0]
_ROW = re.compile(r"^\| ([^|]+) \|(?: [^|]*\|){3} ([^|]+) \|$", re.MULTILINE)
_TEST = re.compile(r"`((?:unit|integration|acceptance|conformance|chaos)/[\w/]+\.py)::(\w+)`")
ROWS = [row for row in _ROW.findall(_TABLE) if row[0] != "what fails" and not row[0].startswith("-")]
# Of the design: a failure of each of these has its row.
PARTS = (
    "proxy",
    "ledger writer",
    "Postgres",
    "Redis or Valkey",
    "Redis is slow",
    "emptied",
    "upstream",
    "client leaves",
)


@cache
def names_in(path: Path) -> frozenset[str]:
    found = functions(ast.parse(path.read_text())) if path.is_file() else ()
    return frozenset(function.name for function in found if function.name.startswith("test_"))


def faults(shown_by: str) -> list[str]:
    named = _TEST.findall(shown_by)
    if ", ".join(f"`{path}::{name}`" for path, name in named) != shown_by:
        return [f"not a list of tests: {shown_by}"]
    return [f"{path}::{name}" for path, name in named if name not in names_in(ROOT / "tests" / path)]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_what_happens_when_something_fails_is_shown(row: tuple[str, str]) -> None:
    assert faults(row[1]) == []


@pytest.mark.parametrize("part", PARTS)
def test_every_failure_of_the_design_has_its_row(part: str) -> None:
    assert any(part in what_fails for what_fails, _ in ROWS)


@pytest.mark.parametrize(
    "shown_by",
    [
        "by nothing",
        "`acceptance/test_when_things_fail.py::test_that_was_never_written`",
        "`acceptance/test_nothing.py::test_a_client_leaves_and_pays_what_was_delivered`",
        "`acceptance/test_when_things_fail.py::assert_refused`",
    ],
)
def test_a_fault_is_found(shown_by: str) -> None:
    assert faults(shown_by)
