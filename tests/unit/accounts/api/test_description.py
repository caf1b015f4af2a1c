"""The description is one of the routes it describes."""

from typing import Any

from accounts.api.description import PATH, Description, with_description
from accounts.api.router import Access, Call, Route, table
from accounts.api.shapes import Done
from tests.support.memory_http import connected
from tests.unit.accounts.api.test_router import Verifier


async def handle(_call: Call) -> Any:
    raise NotImplementedError


ROUTE = Route("GET", "/api/ai-api/things", Access.USER, handle, "Things", answer=Done)


async def test_it_is_served_to_everybody_and_describes_itself_too() -> None:
    async with connected(table(with_description([ROUTE], "1.2.3"), Verifier())) as client:
        answer = await client.ask(f"GET {PATH} HTTP/1.1\r\nHost: farebox\r\n\r\n".encode())
    assert answer.status == 200 and answer.headers["x-request-id"]
    assert list(answer.json()["paths"]) == [ROUTE.path, PATH]
    Description.model_validate(answer.json())
