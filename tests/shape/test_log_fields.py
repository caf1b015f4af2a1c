"""Every log call of the product, read from its source: what it passes is written, and cannot carry a secret."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime.logs import ALLOWED_FIELDS

ROOT = Path(__file__).parents[2]
ROOMS = ("proxy", "accounts", "metering", "ledger", "runtime")
LEVELS = frozenset(("debug", "info", "warning", "error", "exception", "critical", "log", "bind"))
EVENT_NAME = re.compile(r"[a-z]+(_[a-z]+)*")


def log_calls(tree: ast.AST) -> Iterator[ast.Call]:
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in LEVELS
            and ast.unparse(node.func.value).rpartition(".")[2] in ("log", "_log", "logger")
        ):
            yield node


def faults(call: ast.Call) -> list[str]:
    """What is wrong with one call."""
    found = []
    # `log.log` is told the level first
    words = call.args[1:] if ast.unparse(call.func).endswith(".log") else call.args
    if words and not _is_event_name(words[0]):
        found.append(f"{ast.unparse(words[0])} is not the snake_case name of an event")
    if len(words) > 1:
        found.append("positional arguments are formatted into the event")
    for keyword in call.keywords:
        if keyword.arg is None:
            found.append("fields must be named one by one")
        elif keyword.arg not in ALLOWED_FIELDS | {"exc_info"}:
            found.append(f"{keyword.arg} is not in ALLOWED_FIELDS: it would be dropped")
        if keyword.arg != "exc_info":
            found += [f"{quoted} may quote what is secret" for quoted in _error_texts(keyword.value)]
    return found


def _is_event_name(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str) and bool(EVENT_NAME.fullmatch(node.value))


def _error_texts(value: ast.expr) -> list[str]:
    """Places that turn a whole exception into text; `type(error).__name__` does not."""
    places = []
    for node in ast.walk(value):
        whole: ast.expr | None = None
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("str", "repr", "format") and node.args:
            whole = node.args[0]
        elif isinstance(node, ast.FormattedValue):
            whole = node.value
        if isinstance(whole, ast.Name) and re.fullmatch(r"e|exc|.*err(or)?|.*exception", whole.id):
            places.append(ast.unparse(node))
    bare = isinstance(value, ast.Name) and re.fullmatch(r"e|exc|.*err(or)?|.*exception", value.id)
    return [*places, ast.unparse(value)] if bare else places


SOURCES = [path for room in ROOMS for path in sorted((ROOT / room).rglob("*.py"))]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_log_call_names_its_event_and_passes_only_listed_fields(path: Path) -> None:
    calls = log_calls(ast.parse(path.read_text()))
    assert [f"line {call.lineno}: {fault}" for call in calls for fault in faults(call)] == []


def test_there_are_log_calls_to_check() -> None:
    assert sum(len(list(log_calls(ast.parse(path.read_text())))) for path in SOURCES) >= 20


@pytest.mark.parametrize(
    "call",
    [
        "log.info('Not An Event')",
        "log.info(f'event_{x}')",
        "log.info('event %s', key)",
        "log.info('event', api_key=key)",
        "log.info('event', **fields)",
        "self._log.warning('event', error=str(error))",
        "log.warning('event', error=repr(exc))",
        "log.warning('event', error=error)",
        "log.warning('event', reason=f'failed: {error!r}')",
        "log.bind(token=token)",
    ],
)
def test_a_fault_is_found(call: str) -> None:
    (found,) = log_calls(ast.parse(call))
    assert faults(found)


@pytest.mark.parametrize(
    "call", ["log.info('event', count=1)", "log.error('event', error=type(error).__name__, exc_info=error)"]
)
def test_a_good_call_has_none(call: str) -> None:
    (found,) = log_calls(ast.parse(call))
    assert faults(found) == []
