"""Where Farebox connects to, and what answers, the operator says: nothing that a client sends has a part in it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import aiohttp
import pytest
from yarl import URL

from tests.support.calling import CHAT, Caller, chat
from tests.support.office import Office
from tests.support.people import Person
from tests.support.program import JWT_SECRET, Program

ADMIN = UUID("0a0a0a0a-0000-4000-8000-000000000001")
USERS = "/api/ai-api/admin/users"


@pytest.fixture(scope="module")
def sections() -> dict[str, dict[str, Any]]:
    return {
        "identity": {"jwt_secret": JWT_SECRET, "admin_user_ids": [str(ADMIN)]},
        "listen": {"admin": {"port": 0}, "admin_on_public_port": False},
    }


@pytest.fixture
def program(module_program: Program) -> Program:
    return module_program


@dataclass
class Trap:
    """A server that nobody should come to."""

    url: str = ""
    visits: int = 0

    async def _visited(self, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.visits += 1
        writer.close()
        await writer.wait_closed()

    @classmethod
    @asynccontextmanager
    async def set_up(cls) -> AsyncIterator["Trap"]:
        trap = cls()
        async with await asyncio.start_server(trap._visited, "127.0.0.1", 0) as server:
            trap.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            yield trap


@pytest.fixture
async def trap() -> AsyncIterator[Trap]:
    async with Trap.set_up() as trap:
        yield trap


def picture(url: str) -> list[dict[str, Any]]:
    return [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}]


async def test_a_trap_notices_who_comes(trap: Trap, http: aiohttp.ClientSession) -> None:
    with pytest.raises(aiohttp.ClientError):
        await http.get(trap.url)
    assert trap.visits


async def test_no_field_of_the_body_is_an_address(call: Caller, office: Office, trap: Trap) -> None:
    """Farebox looks at no image and calls no other server; what the LLM server does with a URL is its own affair."""
    customer = await office.customer()
    named: dict[str, Any] = dict.fromkeys(("api_base", "base_url", "api_url", "upstream", "proxy", "webhook"), trap.url)
    for body in (chat(**named), chat() | {"messages": picture(f"{trap.url}/a.png")}):
        answer = await call.ask(customer, body)
        assert answer.status == 200, answer
        assert len(await call.seen_upstream(answer.request_id)) == 1
    assert trap.visits == 0


async def test_no_header_is_an_address(call: Caller, office: Office, trap: Trap) -> None:
    customer = await office.customer()
    host = trap.url.removeprefix("http://")
    said = {"host": host, "x-forwarded-host": host, "forwarded": f"host={host}", "x-portkey-custom-host": trap.url}
    answer = await call.ask(customer, chat(), headers=said | {"x-upstream-url": trap.url, "x-original-url": trap.url})
    assert answer.status == 200, answer
    assert len(await call.seen_upstream(answer.request_id)) == 1
    assert trap.visits == 0


async def test_it_is_no_forward_proxy(call: Caller, office: Office, trap: Trap) -> None:
    """A request line with an address in it is about its path here, and no tunnel is opened."""
    customer = await office.customer()
    ours = call.program.base_url
    async with call.http.post(trap.url + CHAT, json=chat(), headers=customer.auth, proxy=ours) as answer:
        assert answer.status == 200
        assert len(await call.seen_upstream(answer.headers["x-request-id"])) == 1
    with pytest.raises(aiohttp.ClientHttpProxyError):
        await call.http.get(trap.url.replace("http://", "https://"), proxy=ours)
    assert trap.visits == 0


@pytest.mark.parametrize(
    "path",
    [
        USERS,
        f"{USERS}/",
        f"/{USERS}",
        "/v1/../api/ai-api/admin/users",
        "/api/ai-api/%61dmin/users",
        "/api/ai-api/admin%2Fusers",
        "/v1/models/../../api/ai-api/admin/users",
        "/API/AI-API/ADMIN/USERS",
        f"{USERS};x=/v1/models",
        f"{USERS}%00",
    ],
)
@pytest.mark.parametrize("host", [None, "127.0.0.1", "localhost:8081", "admin"])
async def test_no_path_and_no_host_leads_from_everybodys_port_to_an_administrators_route(
    program: Program, http: aiohttp.ClientSession, path: str, host: str | None
) -> None:
    """Not even with an administrator's token."""
    admin = Person(http, program.base_url, ADMIN)
    headers = admin.auth | ({} if host is None else {"host": host, "x-forwarded-host": host, "x-original-url": USERS})
    async with http.get(URL(program.base_url + path, encoded=True), headers=headers) as answer:
        assert answer.status in (400, 401, 404), await answer.text()
        assert b"users" not in (await answer.read())


async def test_without_a_signing_secret_there_is_no_webhook(program: Program, http: aiohttp.ClientSession) -> None:
    url = f"{program.base_url}/api/ai-api/stripe/webhook"
    async with http.post(url, json={}, headers={"stripe-signature": "t=1,v1=" + "0" * 64}) as answer:
        assert answer.status == 404
