"""Who may call what, and what is answered when it goes wrong."""

from typing import Any
from uuid import UUID

import asyncpg
import pytest
from redis.exceptions import ConnectionError as RedisGone
from structlog.testing import capture_logs

from accounts.api.router import Access, Call, Route, table
from accounts.errors import KeyNotFound, NotAuthenticated
from accounts.identity import Caller
from ledger.errors import InsufficientFunds, InvalidAmount, WalletNotFound
from tests.support.memory_http import Answer, connected

ANA, ADMIN = Caller(UUID(int=1), False), Caller(UUID(int=2), True)
TOKENS = {"ana": ANA, "admin": ADMIN}


class Verifier:
    async def verify(self, token: str) -> Caller:
        try:
            return TOKENS[token]
        except KeyError:
            raise NotAuthenticated("the token is not valid") from None


async def ask(access: Access, authorization: str | None, error: Exception | None = None) -> Answer:
    async def handle(call: Call) -> Any:
        if error is not None:
            raise error
        return {"caller": call.caller and call.user.user_id.int}

    header = f"Authorization: {authorization}\r\n" if authorization is not None else ""
    async with connected(table([Route("GET", "/x", access, handle)], Verifier())) as client:
        return await client.ask(f"GET /x HTTP/1.1\r\nHost: farebox\r\n{header}\r\n".encode())


@pytest.mark.parametrize(("token", "who"), [("ana", 1), ("admin", 2)])
async def test_a_user_route_takes_anybody_who_is_somebody(token: str, who: int) -> None:
    answer = await ask(Access.USER, f"Bearer {token}")
    assert (answer.status, answer.json()) == (200, {"caller": who})
    assert answer.headers["x-request-id"]


@pytest.mark.parametrize("authorization", [None, "", "Bearer", "Bearer ", "Basic ana", "ana", "Bearer nobody"])
@pytest.mark.parametrize("access", [Access.USER, Access.ADMIN])
async def test_without_a_good_token_there_is_nothing(authorization: str | None, access: Access) -> None:
    answer = await ask(access, authorization)
    assert (answer.status, answer.json()["code"]) == (401, "invalid_token")


async def test_an_admin_route_takes_admins_only() -> None:
    assert (await ask(Access.ADMIN, "Bearer admin")).status == 200
    refused = await ask(Access.ADMIN, "Bearer ana")
    assert (refused.status, refused.json()["code"]) == (403, "forbidden")


async def test_a_signed_route_asks_for_no_token() -> None:
    assert (await ask(Access.SIGNED, None)).json() == {"caller": None}


@pytest.mark.parametrize("authorization", [None, "Bearer ana", "Bearer nobody"])
async def test_an_open_route_asks_nobody_who_they_are(authorization: str | None) -> None:
    assert (await ask(Access.OPEN, authorization)).json() == {"caller": None}


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (KeyNotFound("there is no such key"), 404, "key_not_found"),
        (InvalidAmount("x"), 400, "invalid_amount"),
        (InsufficientFunds(1, 2, 3), 400, "insufficient_funds"),
        (WalletNotFound("x"), 404, "wallet_not_found"),
        (asyncpg.CannotConnectNowError("secret"), 503, "unavailable"),
        (RedisGone("secret"), 503, "unavailable"),
        (TimeoutError(), 503, "unavailable"),
        (ZeroDivisionError("secret"), 500, "internal_error"),
    ],
)
async def test_every_way_to_fail_has_its_answer(error: Exception, status: int, code: str) -> None:
    answer = await ask(Access.USER, "Bearer ana", error)
    assert (answer.status, answer.json()["code"]) == (status, code)
    assert b"secret" not in answer.body


@pytest.mark.parametrize(
    ("authorization", "error", "status"),
    [("Bearer ana", None, 200), ("Bearer ana", KeyNotFound("there is no such key"), 404), (None, None, 401)],
)
async def test_every_request_has_its_line(authorization: str | None, error: Exception | None, status: int) -> None:
    with capture_logs() as lines:
        answer = await ask(Access.USER, authorization, error)
    (line,) = [each for each in lines if each["event"] == "account_request"]
    assert (line["status"], answer.status) == (status, status)
    assert line["request_id"] == answer.headers["x-request-id"]
    assert (line["user_id"] is None) is (authorization is None)
    assert line["endpoint"].startswith("GET /")
