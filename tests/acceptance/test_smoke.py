"""`farebox smoke` against deployments that are well and others that are not; it leaves them as it found them."""

import asyncio
import json
import signal
import sys
from asyncio.subprocess import PIPE, Process
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from accounts.identity import mint_token
from runtime.clock import wall_ms
from tests.support.ledger import USD
from tests.support.office import Office
from tests.support.program import GONE, JWT_SECRET, OUTPUT_ONLY, TINY, Program, environment
from tests.support.waiting import UNTIL_TIMEOUT_S

ADMIN = UUID("0a0a0a0a-0000-4000-8000-000000000009")
STEPS = [
    "health", "wallet", "key", "model", "refused without funds", "credit", "request", "streamed request", "rate limit",
    "usage", "debit", "revoke", "clean up",
]  # fmt: skip


@pytest.fixture(scope="module")
def sections() -> dict[str, dict[str, Any]]:
    return {"identity": {"jwt_secret": JWT_SECRET, "admin_user_ids": [str(ADMIN)]}}


@pytest.fixture
def program(module_program: Program) -> Program:
    return module_program


class Person:
    """Who the run is for, with money of their own or without."""

    def __init__(self, office: Office, base_url: str, user_id: UUID, start_nanos: int) -> None:
        self.office, self.base_url, self.user_id, self.start_nanos = office, base_url, user_id, start_nanos
        self.tokens = {
            "FAREBOX_USER_TOKEN": mint_token(user_id, JWT_SECRET, now_ms=wall_ms()),
            "FAREBOX_ADMIN_TOKEN": mint_token(ADMIN, JWT_SECRET, now_ms=wall_ms()),
        }

    async def begin(self, *options: str) -> Process:
        command = [sys.executable, "-m", "proxy", "smoke", "--base-url", self.base_url, *options]
        return await asyncio.create_subprocess_exec(*command, env=environment() | self.tokens, stdout=PIPE)

    async def smoke(self, *options: str) -> tuple[int | None, dict[str, str]]:
        """The exit code, and each step's outcome."""
        process = await self.begin("--json", *options)
        async with asyncio.timeout(2 * UNTIL_TIMEOUT_S):
            said, _ = await process.communicate()
        assert not any(token.encode() in said for token in self.tokens.values())
        report = json.loads(said)
        assert [step["name"] for step in report["steps"]] == STEPS
        assert report["ok"] == (process.returncode == 0)
        return process.returncode, {step["name"]: step["outcome"] for step in report["steps"]}

    async def is_as_before(self) -> None:
        """No key is left that works, the wallet has what it had less what was spent, and the books hold."""
        await self.office.settled()
        assert not any(key.is_active for key in await self.office.keys.of_user(self.user_id))
        wallet = await self.office.store.ensure_wallet(self.user_id)
        query = "SELECT coalesce(sum(cost), 0) * 1000000000 FROM ai_usage_logs WHERE user_id = $1 AND uncollected = 0"
        spent_nanos = int(await self.office.pool.fetchval(query, self.user_id))
        assert wallet.balance_nanos == max(0, self.start_nanos - spent_nanos)


EMPTY_OR_FUNDED = pytest.mark.parametrize("start_nanos", [0, 3 * USD], ids=["empty", "funded"])


@pytest.fixture
def start_nanos() -> int:
    return 3 * USD


@pytest.fixture
async def person(start_nanos: int, office: Office, program: Program) -> Person:
    user_id = uuid4()
    if start_nanos:
        await office.wallets.give_bonus(user_id, start_nanos, "to start with", "a test")
    return Person(office, program.base_url, user_id, start_nanos)


@EMPTY_OR_FUNDED
async def test_a_good_deployment_passes_every_step(person: Person) -> None:
    code, outcomes = await person.smoke("--model", TINY)
    assert (code, set(outcomes.values())) == (0, {"pass"})
    await person.is_as_before()


async def test_a_demo_file_is_enough(person: Person, tmp_path: Path) -> None:
    demo = tmp_path / "demo.json"
    names = {"user_token": "FAREBOX_USER_TOKEN", "admin_token": "FAREBOX_ADMIN_TOKEN"}
    demo.write_text(json.dumps({name: person.tokens[variable] for name, variable in names.items()}))
    person.tokens = {}
    code, outcomes = await person.smoke("--demo", str(demo), "--model", OUTPUT_ONLY)
    assert (code, set(outcomes.values())) == (0, {"pass"})
    await person.is_as_before()


@pytest.mark.parametrize(
    ("whose", "failed", "skipped"),
    [("FAREBOX_USER_TOKEN", "wallet", STEPS[2:12]), ("FAREBOX_ADMIN_TOKEN", "credit", STEPS[6:11])],
)
async def test_a_wrong_token_is_named_by_the_step_that_needs_it(
    person: Person, whose: str, failed: str, skipped: list[str]
) -> None:
    person.tokens[whose] = mint_token(uuid4(), "another secret that is at least 32 characters", now_ms=wall_ms())
    code, outcomes = await person.smoke("--model", TINY)
    assert (code, [name for name in STEPS if outcomes[name] == "fail"]) == (1, [failed])
    assert [name for name in STEPS if outcomes[name] == "skip"] == skipped
    await person.is_as_before()


async def test_an_upstream_that_is_down(person: Person) -> None:
    code, outcomes = await person.smoke("--model", GONE)
    assert (code, outcomes["request"], outcomes["streamed request"], outcomes["usage"]) == (1, "fail", "fail", "skip")
    assert (outcomes["credit"], outcomes["revoke"], outcomes["clean up"]) == ("pass", "pass", "pass")
    await person.is_as_before()


async def test_nobody_listens(person: Person) -> None:
    code, outcomes = await person.smoke("--model", TINY, "--admin-url", "http://127.0.0.1:9")
    assert (code, outcomes["credit"], outcomes["revoke"]) == (1, "fail", "pass")
    person.base_url = "http://127.0.0.1:9"
    code, outcomes = await person.smoke()
    assert (code, outcomes["health"], set(list(outcomes.values())[1:12])) == (1, "fail", {"skip"})
    await person.is_as_before()


@EMPTY_OR_FUNDED
async def test_a_ledger_that_does_not_run_and_a_run_that_is_interrupted(person: Person, program: Program) -> None:
    """What is not posted yet is still paid when it is."""
    assert program.ledger is not None
    await program.ledger.stop()
    try:
        code, outcomes = await person.smoke("--model", TINY, "--posting-wait", "0.2")
        assert (code, outcomes["rate limit"], outcomes["usage"], outcomes["debit"]) == (1, "pass", "fail", "skip")
        assert outcomes["clean up"] == "pass"

        process = await person.begin("--model", TINY, "--posting-wait", "600")
        assert process.stdout is not None
        async with asyncio.timeout(UNTIL_TIMEOUT_S):
            while b"rate limit" not in await process.stdout.readline():
                assert process.returncode is None
            process.send_signal(signal.SIGINT)
            said = await process.stdout.read()
            assert await process.wait() == 1
        assert b"clean up" in said
    finally:
        program.start_ledger()
    await person.is_as_before()
