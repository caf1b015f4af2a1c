"""The presented key and the whole body, within limits."""

import gzip

import pytest

from proxy.failures import Failure
from proxy.http.answers import failure_response, json_response
from proxy.http.body import body_at_hand, presented_key, read_body
from runtime.http.request import Reply, Request
from runtime.settings import Listen
from tests.support.memory_http import Answer, MemoryClient, connected, post
from tests.support.requests import headers_of
from tests.support.waiting import until

MAX_BYTES = 1024


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": "Bearer k"},
        {"authorization": "bearer k"},
        {"Authorization": "BEARER  k "},
        {"x-api-key": "k"},
        {"X-Api-Key": " k "},
        {"Authorization": "Bearer k", "x-api-key": "other"},
    ],
)
def test_a_presented_key(headers: dict[str, str]) -> None:
    assert presented_key(headers_of(headers)) == "k"


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({}, "missing_api_key"),
        ({"Cookie": "k"}, "missing_api_key"),
        ({"Authorization": ""}, "invalid_auth_format"),
        ({"Authorization": "k"}, "invalid_auth_format"),
        ({"Authorization": "Bearer"}, "invalid_auth_format"),
        ({"Authorization": "Bearer "}, "invalid_auth_format"),
        ({"Authorization": "Bearer a b"}, "invalid_auth_format"),
        ({"Authorization": "Basic k"}, "invalid_auth_format"),
        ({"Authorization": "Basic k", "x-api-key": "k"}, "invalid_auth_format"),
    ],
)
def test_what_is_missing_is_said(headers: dict[str, str], code: str) -> None:
    with pytest.raises(Failure) as caught:
        presented_key(headers_of(headers))
    assert (caught.value.status, caught.value.code) == (401, code)
    assert caught.value.headers == {"www-authenticate": "Bearer"}


async def echo(request: Request) -> Reply:
    try:
        body = await read_body(request, MAX_BYTES, timeout_s=60)
    except Failure as failure:
        return failure_response(failure, [])
    return json_response(200, [], body)


async def at_hand(request: Request) -> Reply:
    """What is there without waiting, and nothing else."""
    body = body_at_hand(request, MAX_BYTES)
    return json_response(204, [], b"") if body is None else json_response(200, [], body)


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (post("/", b"x" * MAX_BYTES), 200),
        (post("/", b""), 200),
        (post("/", b"xyz")[:-1], 204),
        (post("/", b"xyz", "Content-Encoding: gzip"), 204),
        (post("/", b"x" * (MAX_BYTES + 1)), 204),
    ],
)
async def test_a_body_that_came_with_its_head_is_there_without_waiting(raw: bytes, status: int) -> None:
    async with connected({("POST", "/"): at_hand}) as client:
        assert (await client.ask(raw)).status == status


async def answer_to(raw: bytes) -> Answer:
    async with connected({("POST", "/"): echo}, Listen(max_body_bytes=MAX_BYTES)) as client:
        return await client.ask(raw)


@pytest.mark.parametrize("size", [0, 1, MAX_BYTES - 1, MAX_BYTES])
async def test_a_body_within_the_limit_is_read_whole(size: int) -> None:
    answer = await answer_to(post("/", b"x" * size))
    assert (answer.status, answer.body) == (200, b"x" * size)


async def test_a_body_that_announces_too_much_is_refused_before_it_is_sent() -> None:
    announced = post("/", b"x" * (MAX_BYTES + 1))[: -(MAX_BYTES + 1)]
    answer = await answer_to(announced)
    assert (answer.status, answer.json()["error"]["code"]) == (413, "request_too_large")


async def test_a_body_that_does_not_say_how_long_it_is_is_cut_at_the_limit() -> None:
    answer = await answer_to(chunked(b"x" * MAX_BYTES, b"y"))
    assert (answer.status, answer.json()["error"]["code"]) == (413, "request_too_large")


async def test_a_chunked_body() -> None:
    assert (await answer_to(chunked(b"ab", b"c", b"") + b"")).body == b"abc"


async def test_a_bomb_is_measured_unpacked() -> None:
    packed = gzip.compress(b"x" * (MAX_BYTES + 1))
    assert len(packed) < MAX_BYTES
    answer = await answer_to(post("/", packed, "Content-Encoding: gzip"))
    assert answer.status == 413


async def test_a_packed_body_is_unpacked() -> None:
    answer = await answer_to(post("/", gzip.compress(b"hello"), "Content-Encoding: gzip"))
    assert (answer.status, answer.body) == (200, b"hello")


async def test_a_body_in_an_encoding_it_is_not_in() -> None:
    answer = await answer_to(post("/", b"not gzip at all", "Content-Encoding: gzip"))
    assert (answer.status, answer.json()["error"]["code"]) == (400, "invalid_request_error")


async def test_a_body_that_does_not_come_is_not_waited_for_for_ever() -> None:
    async def impatient(request: Request) -> Reply:
        try:
            await read_body(request, MAX_BYTES, timeout_s=0.001)
        except Failure as failure:
            return failure_response(failure, [])
        raise AssertionError("half a body")

    async with connected({("POST", "/"): impatient}) as client:
        answer = await client.ask(post("/", b"xyz")[:-1])
    assert (answer.status, answer.json()["error"]["code"]) == (408, "request_timeout")


async def test_a_client_that_leaves_in_the_middle_of_its_body_is_answered_by_nobody() -> None:
    reading: list[MemoryClient] = []

    async def read(request: Request) -> Reply:
        reading.append(client)
        return await echo(request)

    async with connected({("POST", "/"): read}) as client:
        client.send(post("/", b"xyz")[:-1])
        await until(lambda: bool(reading))
        client.leave()
    assert client.transport.written == b""


def chunked(*pieces: bytes) -> bytes:
    head = b"POST / HTTP/1.1\r\nHost: farebox\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head + b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
