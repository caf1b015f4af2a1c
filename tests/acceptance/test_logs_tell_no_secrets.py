"""What the processes write: one JSON object a line, and of secrets and prompts nothing, whatever goes wrong."""

import asyncio
import json
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.support.calling import CHAT, Caller, chat
from tests.support.ledger import everything_posted
from tests.support.office import Office
from tests.support.program import (
    GONE,
    IMPATIENT,
    JWT_SECRET,
    MISTRUSTED,
    PEPPER,
    TINY,
    UNPRICED,
    UPSTREAM_KEY,
    Program,
)

PROMPT = "xyzzy-the-clients-own-words"
WRONG_KEY = "pp_live-" + "WrongKeyWrongKeyWrongKeyWrongKey"
COOKIE = "session-of-the-client"
TOLD = "told-in-a-header"


@pytest.fixture(scope="module")
def sections() -> dict[str, dict[str, Any]]:
    return {"log": {"level": "debug"}}


@pytest.fixture
def program(module_program: Program) -> Program:
    return module_program


def said(model: str = TINY, **fields: Any) -> dict[str, Any]:
    return chat(model, **fields) | {"messages": [{"role": "user", "content": PROMPT}], "user": PROMPT}


async def everything_that_can_happen(call: Caller, office: Office) -> list[str]:
    """Requests that end well and in every other way; the keys that were used."""
    customer, poor, revoked = await office.customer(), await office.customer(0), await office.customer(rpm=1)
    simulations: list[dict[str, Any]] = [
        {"tokens": 3},
        *({"fault": fault} for fault in ("close", "cut", "garbage", "truncate", "redirect", "bad_json")),
        *({"fault": "status", "status": status} for status in (400, 401, 429, 500)),
    ]
    headers = {"cookie": COOKIE, "x-told": TOLD, "x-farebox-told": TOLD}
    for simulate in simulations:
        await call.ask(customer, said(simulate=simulate), headers=headers)
    for fault in ("cut", "truncate", "error_event", "no_done"):
        await call.ask(customer, said(simulate={"tokens": 9, "fault": fault, "after_chunks": 4}, stream=True))
    for model in (GONE, MISTRUSTED, UNPRICED, PROMPT):
        await call.ask(customer, said(model))
    await call.ask(customer, said(IMPATIENT, simulate={"fault": "stall"}))
    await call.ask(customer, said(max_tokens=PROMPT))
    await call.ask(customer, b'{"model": "tiny", "messages": [{"content": "' + PROMPT.encode() + b'"')
    await call.ask(customer, b"\xff" + PROMPT.encode())
    await call.ask(poor, said())
    await call.ask(revoked, said())
    await call.ask(revoked, said())
    await office.keys.revoke(revoked.key_id)
    await call.ask(revoked, said())
    await call.post(said(), headers={"authorization": f"Bearer {WRONG_KEY}"})
    await call.post(said(), headers={"authorization": f"Basic {WRONG_KEY}"})
    await call.post(said(), headers={"authorization": f"Bearer {customer.key[:-1]}~"})
    await call.get(f"/{PROMPT}?key={customer.key}", headers=customer.auth)
    async with call.stream(customer, said(simulate={"tokens": 10_000, "chunk_delay_ms": 5})) as answer:
        await answer.content.readline()
        answer.close()
    await bad_http(call, customer.key)
    return [customer.key, poor.key, revoked.key]


async def bad_http(call: Caller, key: str) -> None:
    host, port = call.program.base_url.removeprefix("http://").split(":")
    secrets = f"authorization: Bearer {key}\r\nx-told: {TOLD}\r\n"
    for sent in (
        f"POST {CHAT} HTTP/1.1\r\n{secrets}content-length: x\r\n\r\n{PROMPT}",
        f"POST {CHAT} HTTP/1.1\r\n{secrets}bad header {PROMPT}\r\n\r\n",
        f"{PROMPT} {key}\r\n\r\n",
        f"POST {CHAT} HTTP/1.1\r\n{secrets}transfer-encoding: chunked\r\n\r\n{PROMPT}\r\n",
    ):
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(sent.encode())
        await reader.read()
        writer.close()


def password_of(url: str) -> str:
    password = urlsplit(url).password
    assert password
    return password


async def test_no_secret_and_no_prompt_is_ever_written(call: Caller, office: Office, program: Program) -> None:
    keys = await everything_that_can_happen(call, office)
    await office.settled()
    await office.redis.xadd("fb:{0}:usage", {"entry": PROMPT, "charge": PROMPT})  # an event nobody can read
    await everything_posted(office.redis)
    await program.stop()
    written = program.logs()
    secrets = [
        *keys,
        *(key.removeprefix("pp_live-") for key in keys),
        PROMPT,
        WRONG_KEY.removeprefix("pp_live-"),
        COOKIE,
        TOLD,
        UPSTREAM_KEY,
        "sk-of-somebody-else",
        PEPPER,
        JWT_SECRET,
        password_of(program.database_url),
        password_of(program.redis_url),
    ]
    assert [secret for secret in secrets if secret in written] == []
    lines = [json.loads(line) for line in written.splitlines()]
    assert all(isinstance(line, dict) and {"event", "level", "timestamp"} <= set(line) for line in lines)
    requests = [line for line in lines if line["event"] == "request"]
    assert {"completed", "client_left", "upstream_error", "upstream_timeout", "upstream_refused"} <= {
        line["end_reason"] for line in requests
    }
    assert not [line for line in lines if line["event"] in ("call_failed", "task_failed", "library_log")]
