"""Whatever a client sends that is not a good request is refused in words it can use, and takes nothing."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any
from uuid import UUID

import pytest

from tests.support.calling import CHAT, Answer, Caller, chat
from tests.support.office import Customer, Office
from tests.support.program import TINY, UNPRICED, Program

MAX_BODY_BYTES = 65_536
MAX_HEADER_BYTES = 16 << 10
DEEP = 100_000


@pytest.fixture(scope="module")
def sections() -> dict[str, dict[str, Any]]:
    return {"listen": {"max_body_bytes": MAX_BODY_BYTES, "max_header_bytes": MAX_HEADER_BYTES}}


@pytest.fixture
def program(module_program: Program) -> Program:
    return module_program


@pytest.fixture
async def customer(office: Office) -> AsyncIterator[Customer]:
    """From whom nothing is taken by anything in this file."""
    customer = await office.customer()
    yield customer
    await office.settled()
    assert await office.untouched(customer)


def without(name: str) -> dict[str, Any]:
    return {key: value for key, value in chat().items() if key != name}


def assert_refused(answer: Answer, status: int, code: str, param: str | None = None) -> None:
    assert (answer.status, answer.error["code"], answer.error["param"]) == (status, code, param), answer
    assert answer.error["type"] == "invalid_request_error"
    assert UUID(answer.request_id).version == 7
    assert "x-farebox-cost" not in answer.headers


NO_COUNTS: list[Any] = [-1, 0, 1e308, 2**70, 1.5, "x", "5", True, False, [], {}, [5]]
BAD_VALUES: dict[str, list[Any]] = {
    "max_tokens": NO_COUNTS,
    "max_completion_tokens": NO_COUNTS,
    "n": [*NO_COUNTS, 129],
    "stream": ["yes", 1, 0, "true", [], {}],
    "stream_options": ["include_usage", [], 1, True],
    "model": [7, "", None, [], {}, "m" * 5_000],
    "messages": [[], None, "hello", {}, 7],
}
BAD_FIELDS = [(name, value) for name, values in BAD_VALUES.items() for value in values]


@pytest.mark.parametrize(("name", "value"), BAD_FIELDS, ids=[f"{n}={str(v)[:20]}" for n, v in BAD_FIELDS])
async def test_a_field_that_is_not_what_it_must_be_is_named(
    call: Caller, customer: Customer, name: str, value: Any
) -> None:
    assert_refused(await call.ask(customer, chat() | {name: value}), 400, "invalid_request_error", name)


@pytest.mark.parametrize("name", ["model", "messages"])
async def test_a_field_that_is_missing_is_named(call: Caller, customer: Customer, name: str) -> None:
    assert_refused(await call.ask(customer, without(name)), 400, "invalid_request_error", name)


NO_OBJECTS: dict[str, bytes] = {
    "nothing": b"",
    "blank": b"  \r\n",
    "text": b"model=tiny&messages=hello",
    "half": json.dumps(chat()).encode()[:-1],
    "two": json.dumps(chat()).encode() * 2,
    "an array": json.dumps([chat()]).encode(),
    "a number": b"7",
    "null": b"null",
    "not UTF-8": json.dumps(chat()).encode().replace(b"three", b"\xff\xfe\x80"),
    "half a surrogate": b'{"model": "\\ud800", "messages": [{"role": "user", "content": "x"}]}',
    "deep arrays": b'{"model":"tiny","messages":' + b"[" * (DEEP // 4) + b"]" * (DEEP // 4) + b"}",
    "unclosed arrays": b"[" * (DEEP // 2),
    "deep objects": b'{"a":' * (DEEP // 10) + b"1" + b"}" * (DEEP // 10),
    "not a number": b'{"model":"tiny","max_tokens":NaN,"messages":[{"role":"user","content":"x"}]}',
    "an endless number": b'{"model":"tiny","max_tokens":' + b"9" * 10_000 + b',"messages":[{}]}',
    "a NUL": b"\x00" + json.dumps(chat()).encode(),
}


@pytest.mark.parametrize("what", NO_OBJECTS)
async def test_a_body_that_is_no_json_object_is_refused(call: Caller, customer: Customer, what: str) -> None:
    answer = await call.ask(customer, NO_OBJECTS[what], headers={"content-type": "application/json"})
    assert_refused(answer, 400, "invalid_request_error")


async def test_the_answer_to_a_bad_body_does_not_quote_it(call: Caller, customer: Customer) -> None:
    answer = await call.ask(customer, b'{"model": "tiny", "messages": confidential}')
    assert b"confidential" not in answer.body


async def test_a_body_that_announces_too_much_is_refused(call: Caller, customer: Customer) -> None:
    assert_refused(await call.ask(customer, b"x" * (MAX_BODY_BYTES + 1)), 413, "request_too_large")


async def test_a_body_that_turns_out_too_long_is_refused(call: Caller, customer: Customer) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(MAX_BODY_BYTES // 1024 + 1):
            yield b"x" * 1024

    url = call.program.base_url + CHAT
    async with call.http.post(url, data=pieces(), headers=customer.auth) as answer:
        assert answer.status == 413
        assert (await answer.json())["error"]["code"] == "request_too_large"


async def test_a_body_of_the_largest_size_is_accepted(call: Caller, office: Office) -> None:
    customer = await office.customer()
    body = json.dumps(chat(simulate={"tokens": 1})).encode()
    answer = await call.ask(customer, body + b" " * (MAX_BODY_BYTES - len(body)))
    assert answer.status == 200


@pytest.mark.parametrize(("model", "code"), [("no-such-model", "model_not_found"), (UNPRICED, "model_not_priced")])
async def test_a_model_that_cannot_be_used(call: Caller, customer: Customer, model: str, code: str) -> None:
    answer = await call.ask(customer, chat(model))
    assert_refused(answer, 404, code, "model")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", CHAT),
        ("PUT", CHAT),
        ("DELETE", CHAT),
        ("OPTIONS", CHAT),
        ("POST", "/v1/models"),
        ("POST", "/v1/chat/completions/"),
        ("POST", "/v1//chat/completions"),
        ("POST", "/v1/../v1/chat/completions"),
        ("POST", "/V1/CHAT/COMPLETIONS"),
        ("POST", "/simulator/requests"),
        ("GET", "/simulator/totals"),
        ("GET", "/"),
        ("GET", "/v2/models"),
        ("POST", "/v1/fine_tuning/jobs"),
    ],
)
async def test_nothing_but_what_is_metered_passes(call: Caller, customer: Customer, method: str, path: str) -> None:
    body = json.dumps(chat()).encode()
    answer = await raw(call, request(method, path, customer, body=body))
    assert answer.startswith(b"HTTP/1.1 404 "), answer
    assert json.loads(answer.split(b"\r\n\r\n", 1)[1])["error"]["code"] == "not_found"
    assert b"x-request-id: " in answer.lower()


# Bad HTTP, on a bare socket.


def request(method: str, path: str, customer: Customer, *headers: bytes, body: bytes = b"") -> bytes:
    """A request that announces its body itself unless `headers` do."""
    lines = [f"{method} {path} HTTP/1.1".encode(), b"host: farebox", f"authorization: Bearer {customer.key}".encode()]
    lines += headers or (b"content-length: %d" % len(body), b"connection: close")
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


async def raw(call: Caller, sent: bytes) -> bytes:
    """Everything that comes back until the server closes."""
    host, port = call.program.base_url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        writer.write(sent)
        async with asyncio.timeout(20):
            return await reader.read()
    except ConnectionError:
        return b""
    finally:
        # what the server never read is still to be sent: close() would wait for that, and so outlive the loop
        writer.transport.abort()
        with suppress(ConnectionError):
            await writer.wait_closed()


def assert_all_refused(answers: bytes, status: int = 400) -> None:
    """One refusal, in our words, and nothing after it."""
    head, _, body = answers.partition(b"\r\n\r\n")
    # the server cannot know the version of a request that it could not read
    assert re.match(rb"HTTP/1\.[01] %d " % status, head), answers
    assert b"x-request-id: " in head.lower()
    assert len(re.findall(rb"HTTP/1\.[01] ", answers)) == 1, answers
    assert json.loads(body)["error"]["type"] == "invalid_request_error"


BODY = json.dumps(chat(simulate={"tokens": 1})).encode()
AS_CHUNKS = b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY)
SMUGGLED = b"POST /v1/chat/completions HTTP/1.1\r\nhost: farebox\r\n\r\n"
BAD_HTTP: dict[str, tuple[tuple[bytes, ...], bytes]] = {
    "two framings": ((b"content-length: %d" % len(BODY), b"transfer-encoding: chunked"), AS_CHUNKS + SMUGGLED),
    "two framings, the other way round": (
        (b"transfer-encoding: chunked", b"content-length: 4"),
        AS_CHUNKS + SMUGGLED,
    ),
    "two lengths": ((b"content-length: 4", b"content-length: %d" % len(BODY)), BODY),
    "a list of lengths": ((b"content-length: 4, %d" % len(BODY),), BODY),
    "a negative length": ((b"content-length: -1",), BODY),
    "a length with a sign": ((b"content-length: +%d" % len(BODY),), BODY),
    "a length in hex": ((b"content-length: 0x10",), BODY),
    "an unknown coding": ((b"transfer-encoding: chunked, identity",), AS_CHUNKS),
    "a coding written oddly": ((b"transfer-encoding: xchunked",), AS_CHUNKS),
    "a header without a name": ((b": nothing", b"content-length: %d" % len(BODY)), BODY),
    "a header with a space before its colon": ((b"content-length : %d" % len(BODY),), BODY),
    "a folded header": ((b"x-a: b\r\n c", b"content-length: %d" % len(BODY)), BODY),
    "a NUL in a header": ((b"x-a: b\x00c", b"content-length: %d" % len(BODY)), BODY),
    "a bare line feed in a header": ((b"x-a: b\nx-c: d", b"content-length: %d" % len(BODY)), BODY),
    "a bare carriage return in a header": ((b"x-a: b\rx-c: d", b"content-length: %d" % len(BODY)), BODY),
}


@pytest.mark.parametrize("what", BAD_HTTP)
async def test_http_that_two_servers_could_read_in_two_ways_is_refused(
    call: Caller, customer: Customer, what: str
) -> None:
    headers, body = BAD_HTTP[what]
    assert_all_refused(await raw(call, request("POST", CHAT, customer, *headers, body=body)))


CHUNKS: dict[str, bytes] = {
    "no size": b"xyz\r\n" + BODY + b"\r\n0\r\n\r\n",
    "a negative size": b"-1\r\n" + BODY + b"\r\n0\r\n\r\n",
    "too long a size": b"f" * 40 + b"\r\n" + BODY,
    "a size too small": b"5\r\n" + BODY + b"\r\n0\r\n\r\n",
    "a bare line feed after the size": b"%x\n%b\r\n0\r\n\r\n" % (len(BODY), BODY),
}


@pytest.mark.parametrize("what", CHUNKS)
async def test_a_badly_chunked_body_is_refused(call: Caller, customer: Customer, what: str) -> None:
    sent = request("POST", CHAT, customer, b"transfer-encoding: chunked", b"connection: close", body=CHUNKS[what])
    assert_all_refused(await raw(call, sent))


async def test_a_body_that_ends_early_is_not_passed_on(call: Caller, customer: Customer) -> None:
    host, port = call.program.base_url.removeprefix("http://").split(":")
    _, writer = await asyncio.open_connection(host, int(port))
    writer.write(request("POST", CHAT, customer, b"content-length: 5000", body=BODY))
    await writer.drain()
    writer.close()
    await writer.wait_closed()


@pytest.mark.parametrize(
    "line",
    [
        b"GET /" + b"a" * MAX_HEADER_BYTES * 2 + b" HTTP/1.1\r\nhost: f\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nhost: f\r\nx-a: " + b"a" * MAX_HEADER_BYTES * 2 + b"\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nhost: f\r\n" + b"a" * MAX_HEADER_BYTES * 2 + b": x\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"HELO farebox\r\n\r\n",
        b"GET /healthz HTTP/9.9\r\nhost: f\r\n\r\n",
        b"G@T /healthz HTTP/1.1\r\nhost: f\r\n\r\n",
    ],
    ids=["long line", "long value", "long name", "TLS", "SMTP", "version", "method"],
)
async def test_what_is_no_http_or_too_much_of_it_is_refused(call: Caller, line: bytes) -> None:
    assert_all_refused(await raw(call, line))


async def test_headers_without_end_are_refused(call: Caller) -> None:
    """Each of them is small; all together are not. They fit into one segment: an answer to what is still being sent
    may be lost with the connection."""
    many = b"".join(b"x-%d: %b\r\n" % (number, b"a" * 100) for number in range(300))
    assert_all_refused(await raw(call, b"GET /healthz HTTP/1.1\r\nhost: f\r\n" + many + b"\r\n"))


async def test_pipelined_requests_are_answered_in_order_and_each_is_metered(call: Caller, office: Office) -> None:
    customer = await office.customer()
    first = request("POST", CHAT, customer, b"content-length: %d" % len(BODY), body=BODY)
    last = request("POST", CHAT, customer, body=BODY.replace(b'"tokens": 1', b'"tokens": 2'))
    answers = await raw(call, first + first + last)
    assert answers.count(b"HTTP/1.1 200 OK") == 3
    await office.settled()
    rows = await office.usage_rows(customer)
    assert [row["output_tokens"] for row in rows] == [1, 1, 2]


async def test_a_header_cannot_be_injected_through_what_is_echoed(call: Caller, office: Office) -> None:
    """What a client names itself is kept, never sent back; what it calls a model is quoted nowhere."""
    customer = await office.customer()
    asked = {"x-client-request-id": "a%0d%0ax-evil: 1", "x-request-id": "chosen-by-the-client"}
    answer = await call.ask(customer, chat(simulate={"tokens": 1}), headers=asked)
    assert "x-evil" not in answer.headers
    assert answer.request_id != "chosen-by-the-client"
    refused = await call.ask(customer, chat("no\r\nx-evil: 1"))
    assert refused.status == 404
    assert "x-evil" not in refused.headers


async def test_a_model_named_twice_is_routed_and_priced_as_one(call: Caller, office: Office) -> None:
    """Parsers differ on which of two equal keys counts: the one that is priced must be the one that is served."""
    customer = await office.customer()
    body = json.dumps(chat(simulate={"tokens": 1})).replace("{", '{"model": "no-such-model", ', 1).encode()
    answer = await call.ask(customer, body)
    assert (answer.status, answer.json["model"]) == (200, TINY)
    (seen,) = await call.seen_upstream(answer.request_id)
    assert seen["model"] == TINY
