"""Whole answers and failures, as they go over the wire."""

from proxy.failures import Failure
from proxy.http.answers import failure_response, json_response
from runtime.http.request import Reply, Request
from runtime.http.response import HeaderList, Response
from tests.support.memory_http import Answer, connected, get

OWN: HeaderList = [("x-request-id", "ours")]


async def sent(response: Reply) -> Answer:
    async def handler(_request: Request) -> Reply:
        return response

    async with connected({("GET", "/"): handler}) as client:
        return await client.ask(get("/"))


async def test_a_whole_answer_keeps_its_own_headers_and_content_type() -> None:
    answer = await sent(Response(201, [("content-type", "text/x-odd"), ("x-a", "1")], b"hello"))
    assert (answer.status, answer.body) == (201, b"hello")
    assert (answer.headers["content-type"], answer.headers["x-a"]) == ("text/x-odd", "1")
    assert answer.headers["content-length"] == "5"


async def test_a_header_that_comes_twice_stays_twice() -> None:
    answer = await sent(Response(200, [("vary", "a"), ("vary", "b")]))
    assert answer.headers["vary"] == "a, b"


async def test_a_failure_with_its_headers_and_ours() -> None:
    failure = Failure("overloaded", "words", headers={"retry-after": "1"})
    answer = await sent(failure_response(failure, OWN))
    assert (answer.status, answer.body) == (503, failure.body())
    assert answer.headers["content-type"] == "application/json"
    assert (answer.headers["retry-after"], answer.headers["x-request-id"]) == ("1", "ours")


async def test_json() -> None:
    answer = await sent(json_response(200, OWN, b"{}"))
    assert (answer.json(), answer.headers["content-type"]) == ({}, "application/json")
    assert answer.headers["x-request-id"] == "ours"
