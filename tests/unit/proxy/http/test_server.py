"""Whatever comes is answered in the contract's shape; what is not in the table is a 404."""

import asyncio
from uuid import UUID

import pytest
from structlog.testing import capture_logs

from proxy.drain import Drain
from proxy.http.answers import json_response
from proxy.http.routes import Table
from proxy.http.server import HttpServer
from runtime.http.request import Reply, Request
from runtime.settings import Listen
from tests.support.memory_http import Answer, MemoryClient, connected, get, post
from tests.support.waiting import until


async def hello(_request: Request) -> Reply:
    return json_response(200, [], b'"hello"')


async def broken(_request: Request) -> Reply:
    raise RuntimeError("a fault of ours, with a secret in it")


ROUTES: Table = {("GET", "/hello"): hello, ("GET", "/broken"): broken}
LISTEN = Listen(max_header_bytes=1024)


async def answer_to(raw: bytes) -> Answer:
    async with connected(ROUTES, LISTEN) as client:
        return await client.ask(raw)


def is_failure(answer: Answer, status: int, code: str) -> None:
    assert answer.status == status and answer.headers["content-type"] == "application/json"
    assert answer.json()["error"]["code"] == code
    assert UUID(answer.headers["x-request-id"]).version == 7


async def test_a_route_of_the_table() -> None:
    answer = await answer_to(get("/hello?with=a&query"))
    assert (answer.status, answer.json()) == (200, "hello")


@pytest.mark.parametrize(
    "raw",
    [get("/"), get("/hello/"), get("/HELLO"), post("/hello", b""), get("/../hello"), get("//hello")],
    ids=lambda raw: raw.split(b" HTTP")[0].decode(),
)
async def test_anything_else_is_not_found(raw: bytes) -> None:
    is_failure(await answer_to(raw), 404, "not_found")


@pytest.mark.parametrize("raw", [get("/api/ai-api/nothing"), post("/api/ai-api/keys", b"{}")])
async def test_what_is_not_found_among_account_routes_is_said_in_their_shape(raw: bytes) -> None:
    answer = await answer_to(raw)
    assert (answer.status, set(answer.json()), answer.json()["code"]) == (404, {"error", "code"}, "not_found")
    assert UUID(answer.headers["x-request-id"]).version == 7


@pytest.mark.parametrize(
    "raw",
    [
        b"nonsense\r\n\r\n",
        b"GET /hello HTTP/1.1\r\nno colon\r\n\r\n",
        b"GET /hello HTTP/1.1\r\nHost: farebox\r\nX-A: a\x00b\r\n\r\n",
        b"POST /hello HTTP/1.1\r\nHost: farebox\r\nContent-Length: x\r\n\r\n",
        b"POST /hello HTTP/1.1\r\nHost: farebox\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
        get("/hello", "X-Long: " + "x" * 5000),
        get("/" + "x" * 5000),
    ],
    ids=["nonsense", "no-colon", "nul", "bad-length", "two-lengths", "long-header", "long-line"],
)
async def test_bad_http_is_answered_in_our_own_words_and_the_connection_ends(raw: bytes) -> None:
    async with connected(ROUTES, LISTEN) as client:
        answer = await client.ask(raw)
        await until(lambda: client.is_over)
    is_failure(answer, 400, "invalid_http")


async def test_bad_http_is_logged_without_what_was_sent() -> None:
    with capture_logs() as logs:
        await answer_to(b"GET /hello HTTP/1.1\r\nAuthorization Bearer pp_live-secret\r\n\r\n")
    assert [entry["event"] for entry in logs] == ["bad_http"]
    assert "pp_live" not in str(logs)


async def test_a_fault_of_ours_is_a_500_that_tells_nothing_and_ends_the_connection() -> None:
    async with connected(ROUTES, LISTEN) as client:
        answer = await client.ask(get("/broken"))
        await until(lambda: client.is_over)
    is_failure(answer, 500, "internal_error")
    assert b"secret" not in answer.body


async def test_a_connection_serves_one_request_after_another() -> None:
    async with connected(ROUTES, LISTEN) as client:
        await client.ask(get("/nowhere"))
        client.transport.written.clear()
        assert (await client.ask(get("/hello"))).status == 200


@pytest.mark.parametrize("begun", [b"", b"GET /hello HTTP/1.1\r\nHost: farebox\r\nX-"], ids=["nothing", "half a head"])
async def test_who_does_not_finish_a_request_is_not_waited_for_for_ever(begun: bytes) -> None:
    async with connected(ROUTES, LISTEN) as client:
        client.send(begun)
        client.server.sweep(asyncio.get_running_loop().time() + 76)
        assert client.transport.is_closed
    assert not client.transport.written


async def test_a_client_that_leaves_cancels_its_handler() -> None:
    entered, cancelled = asyncio.Event(), asyncio.Event()

    async def patient(_request: Request) -> Reply:
        entered.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise
        raise AssertionError

    async with connected({("GET", "/"): patient}) as client:
        client.send(get("/"))
        await entered.wait()
        client.leave()
        await asyncio.wait_for(cancelled.wait(), 30)


async def test_other_routes_and_limits_are_for_the_next_request_and_the_next_connection() -> None:
    async def other(_request: Request) -> Reply:
        return json_response(200, [], b'"other"')

    async with connected(ROUTES, LISTEN) as client:
        server = client.server
        assert isinstance(server, HttpServer)
        server.exchange({("GET", "/hello"): other}, Listen(max_header_bytes=4096), Drain().generation())
        assert (await client.ask(get("/hello"))).json() == "other"
        newcomer = MemoryClient(server)
        assert (await newcomer.ask(get("/hello", "X-Long: " + "x" * 3000))).status == 200
        newcomer.leave()
        client.transport.written.clear()
        assert (await client.ask(get("/hello", "X-Long: " + "x" * 3000))).status == 400


async def test_who_finds_no_room_is_told_when_to_come_back() -> None:
    async with connected(ROUTES, Listen(max_connections=1)) as client:
        late = MemoryClient(client.server)
        assert late.transport.is_closed and not client.transport.is_closed
        is_failure(late.answer(), 503, "overloaded")
        assert (late.answer().headers["retry-after"], late.answer().headers["connection"]) == ("1", "close")
        late.leave()
