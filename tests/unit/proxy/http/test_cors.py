"""Which web pages may call from a browser, and what the others are told: nothing."""

import pytest

from proxy.http.answers import json_response
from proxy.http.routes import Table
from runtime.http.request import Reply, Request
from runtime.settings import Listen
from tests.support.memory_http import Answer, connected, get, post

PAGE = "https://app.example.com"
ELSEWHERE = "https://evil.example"
PREFLIGHT = (
    "Access-Control-Request-Method: POST",
    "Access-Control-Request-Headers: authorization,content-type, x-stainless-os",
)


async def hello(_request: Request) -> Reply:
    return json_response(200, [], b'"hello"')


async def stream(request: Request) -> Reply:
    answer = request.begin(200, [("content-type", "text/event-stream")])
    answer.write(await request.read())
    answer.finish()
    return answer


ROUTES: Table = {("GET", "/hello"): hello, ("POST", "/stream"): stream}


async def ask(raw: bytes, *origins: str) -> Answer:
    async with connected(ROUTES, Listen.model_validate({"cors_origins": origins})) as client:
        return await client.ask(raw)


def options(path: str, *headers: str) -> bytes:
    return get(path, *headers).replace(b"GET", b"OPTIONS", 1)


def cors(answer: Answer) -> dict[str, str]:
    return {name: value for name, value in answer.headers.items() if name.startswith("access-control-")}


@pytest.mark.parametrize("origins", [(), (PAGE,)])
@pytest.mark.parametrize(
    "raw",
    [
        get("/hello", f"Origin: {ELSEWHERE}"),
        get("/hello", "Origin: null"),
        get("/hello"),
        get("/hello", f"Origin: {PAGE}.evil.example"),
        get("/hello", f"Origin: {PAGE.upper()}"),
        post("/stream", b"x", f"Origin: {ELSEWHERE}"),
        options("/hello", f"Origin: {ELSEWHERE}", *PREFLIGHT),
    ],
    ids=lambda raw: raw.split(b"\r\n")[0].decode() + str(len(raw)),
)
async def test_off_by_default_and_for_everybody_who_is_not_listed(raw: bytes, origins: tuple[str, ...]) -> None:
    answer = await ask(raw, *origins)
    assert cors(answer) == {}
    assert answer.status == (404 if raw.startswith(b"OPTIONS") else 200)


async def test_a_page_that_is_listed_may_read_the_answer() -> None:
    answer = await ask(get("/hello", f"Origin: {PAGE}"), "https://other.example", PAGE)
    assert (answer.status, answer.json(), answer.headers["vary"]) == (200, "hello", "origin")
    assert answer.headers["access-control-allow-origin"] == PAGE
    assert "x-request-id" in answer.headers["access-control-expose-headers"]


async def test_also_one_that_streams_and_one_that_refuses() -> None:
    answer = await ask(post("/stream", b"data: x\n\n", f"Origin: {PAGE}"), PAGE)
    assert (answer.body, answer.headers["access-control-allow-origin"]) == (b"data: x\n\n", PAGE)
    assert answer.headers["content-type"] == "text/event-stream"
    assert (await ask(get("/nowhere", f"Origin: {PAGE}"), PAGE)).headers["access-control-allow-origin"] == PAGE


async def test_a_preflight_is_answered_without_a_key() -> None:
    answer = await ask(options("/v1/chat/completions", f"Origin: {PAGE}", *PREFLIGHT), PAGE)
    assert (answer.status, answer.body) == (204, b"")
    assert cors(answer) == {
        "access-control-allow-origin": PAGE,
        "access-control-allow-methods": "GET, POST, PUT, PATCH, DELETE",
        "access-control-allow-headers": "authorization,content-type, x-stainless-os",
        "access-control-max-age": "600",
    }


@pytest.mark.parametrize("names", ["a\tb", "a;b", "*", "x" * 2000, ","])
async def test_what_is_no_list_of_headers_is_not_repeated(names: str) -> None:
    asked = (f"Origin: {PAGE}", "Access-Control-Request-Method: POST", f"Access-Control-Request-Headers: {names}")
    assert "access-control-allow-headers" not in cors(await ask(options("/hello", *asked), PAGE))


async def test_all_pages() -> None:
    answer = await ask(get("/hello", f"Origin: {ELSEWHERE}"), "*")
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "access-control-allow-credentials" not in answer.headers


async def test_options_that_is_no_preflight_is_a_request_like_any_other() -> None:
    assert (await ask(options("/hello", f"Origin: {PAGE}"), PAGE)).status == 404
