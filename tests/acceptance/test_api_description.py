"""The program against its own description: what is described exists, answers as described, and takes nothing else.

Schemathesis makes the requests: for every operation the values at and beyond each bound of each field, then some at
random, from a fixed seed. It calls as an administrator, who may call everything.
"""

import json
import urllib.request
from collections import Counter
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
import schemathesis
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import Status, from_schema
from schemathesis.engine.events import EngineFinished, NonFatalError, ScenarioFinished

from accounts.identity import mint_token
from runtime.clock import wall_ms
from tests.support.described import PATH, Description
from tests.support.program import JWT_SECRET, Program
from tests.support.whole_api import ADMIN, everything, stripe_in_a_thread

CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
)
_EXAMPLES = 8


@pytest.fixture(scope="module")
def sections() -> Iterator[dict[str, dict[str, Any]]]:
    with stripe_in_a_thread() as url:
        yield everything(url)


@pytest.fixture
def program(module_program: Program) -> Program:
    return module_program


def served(program: Program, path: str = PATH) -> dict[str, Any]:
    with urllib.request.urlopen(program.base_url + path) as answer:
        assert answer.headers["content-type"] == "application/json" and answer.headers["x-request-id"]
        found: dict[str, Any] = json.load(answer)
        return found


def without_patterns(tree: Any) -> Any:
    """Text of 500 characters takes Schemathesis a second to make by a pattern; test_bad_account_input tries those."""
    if isinstance(tree, list):
        return [without_patterns(part) for part in tree]
    if not isinstance(tree, dict):
        return tree
    return {name: without_patterns(part) for name, part in tree.items() if name != "pattern"}


def run(tree: dict[str, Any], program: Program, headers: dict[str, str]) -> tuple[Counter[Status], list[str]]:
    """Scenarios by how they ended, and what went wrong."""
    config = SchemathesisConfig.from_dict(
        {
            "seed": 20261122,
            "base-url": program.base_url,
            "headers": headers,
            "continue-on-failure": True,
            "workers": 1,
            "checks": {"enabled": False} | {name: {"enabled": True} for name in CHECKS},
            "phases": {"stateful": {"enabled": False}, "coverage": {"unexpected-methods": []}},
            "generation": {"deterministic": True, "max-examples": _EXAMPLES, "no-shrink": True, "database": "none"},
        }
    )
    ended: Counter[Status] = Counter()
    wrong: list[str] = []
    for event in from_schema(schemathesis.openapi.from_dict(without_patterns(tree), config=config)).execute():
        if isinstance(event, NonFatalError):
            wrong.append(str(event.info.format()))
        elif isinstance(event, EngineFinished):
            assert event.stop_reason == "completed"
        elif isinstance(event, ScenarioFinished):
            ended[event.status] += len(event.recorder.cases)
            wrong += [
                f"{event.label} {check.name}: {check.failure_info.failure}\n{check.failure_info.code_sample[:600]}"
                for checks in event.recorder.checks.values()
                for check in checks
                if check.failure_info is not None
            ]
    return ended, wrong


def test_the_program_is_as_it_describes_itself(program: Program) -> None:
    token = mint_token(ADMIN, JWT_SECRET, now_ms=wall_ms())
    tree = served(program)
    ended, wrong = run(tree, program, {"Authorization": f"Bearer {token}"})
    assert not wrong, "\n\n".join(wrong)
    assert ended[Status.SUCCESS] > 20 * len(Description(tree).operations)


def test_a_description_that_is_wrong_is_noticed(program: Program) -> None:
    """The same run over a description that promises what the program does not do."""
    tree = served(program)
    wallet = tree["paths"]["/api/ai-api/wallet"]
    del wallet["get"]["responses"]["400"]
    tree["paths"] = {"/api/ai-api/wallet": wallet}
    token = mint_token(uuid4(), JWT_SECRET, now_ms=wall_ms())
    _, wrong = run(tree, program, {"Authorization": f"Bearer {token}"})
    assert any("status_code_conformance" in fault for fault in wrong)
