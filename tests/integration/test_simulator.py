"""The simulated LLM server over real sockets, on asyncio's loop and, as a process of its own, on uvloop."""

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import aiohttp
import openai
import pytest

from runtime.simulator.reading import MAX_BODY_BYTES, MAX_HEADER_BYTES
from runtime.simulator.server import Simulator, start
from runtime.simulator.settings import SimulatorSettings

RUN = """
from runtime.simulator.server import run
from runtime.simulator.settings import SimulatorSettings
run(SimulatorSettings(models=("tiny", "large")))
"""
SETTINGS = SimulatorSettings(models=("tiny", "large"))
POLL_S = 0.01
POLLS = 1_000


@pytest.fixture(scope="module")
def process() -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A simulator under uvloop, and its URL."""
    with subprocess.Popen([sys.executable, "-c", RUN], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            assert line.endswith("models: tiny, large\n")
            yield process, line.split("listening on ")[1].split(",")[0]
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(10) == 0


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    simulator = await start(SETTINGS)
    yield simulator
    await simulator.stop()


@pytest.fixture(params=["asyncio", "uvloop"])
def url(request: pytest.FixtureRequest) -> str:
    if request.param == "uvloop":
        found: str = request.getfixturevalue("process")[1]
        return found
    simulator: Simulator = request.getfixturevalue("simulator")
    return simulator.url


@pytest.fixture
async def client() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(headers={"x-request-id": str(uuid4())}) as session:
        yield session


def chat(simulate: dict[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
    body = {"model": "tiny", "messages": [{"role": "user", "content": "one two three"}]} | fields
    return body | ({"simulate": simulate} if simulate else {})


async def post(client: aiohttp.ClientSession, url: str, body: object) -> tuple[int, bytes]:
    async with client.post(f"{url}/chat/completions", json=body, allow_redirects=False) as answer:
        return answer.status, await answer.read()


async def records_of(client: aiohttp.ClientSession, url: str) -> list[dict[str, Any]]:
    books = f"{url.removesuffix('/v1')}/simulator/requests"
    async with client.get(books, params={"request_id": client.headers["x-request-id"]}) as answer:
        records: list[dict[str, Any]] = await answer.json()
        return records


async def record_of(client: aiohttp.ClientSession, url: str, *, running: bool = False) -> dict[str, Any]:
    """The only record of this client, once it runs, or once it runs no more."""
    for _ in range(POLLS):
        records = await records_of(client, url)
        if records and (records[0]["state"] == "running") is running:
            assert len(records) == 1
            return records[0]
        await asyncio.sleep(POLL_S)
    raise AssertionError("the simulator never got there")


def events_of(data: bytes) -> list[str]:
    assert data.endswith(b"\n\n")
    return [event.removeprefix("data: ") for event in data.decode().split("\n\n")[:-1]]


async def raw_exchange(url: str, data: bytes) -> bytes:
    """What comes back until the server closes."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    try:
        writer.write(data)
        return await reader.read()
    finally:
        # what the server never read is still to be sent: close() would wait for that, and so outlive the loop
        writer.transport.abort()
        with suppress(ConnectionError):
            await writer.wait_closed()


def raw_post(body: dict[str, Any], version: str = "1.1", headers: str = "") -> bytes:
    data = json.dumps(body)
    return (
        f"POST /v1/chat/completions HTTP/{version}\r\nhost: x\r\n{headers}content-length: {len(data)}\r\n\r\n{data}"
    ).encode()


async def test_an_answer_is_counted_in_the_books(client: aiohttp.ClientSession, url: str) -> None:
    status, data = await post(client, url, chat(max_tokens=5))
    answer = json.loads(data)
    assert status == 200
    assert answer["choices"][0]["message"]["content"] == "w0 w1 w2 w3 w4 "
    assert answer["usage"] == {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12}
    record = await record_of(client, url)
    assert (record["state"], record["prompt_tokens"], record["completion_tokens"]) == ("finished", 7, 5)
    assert {"content-type", "x-request-id"} < set(record["headers_seen"])
    assert "authorization" not in record


@pytest.mark.parametrize("orders", [{}, {"chunk_delay_ms": 1}, {"split_bytes": 7}, {"first_delay_ms": 5}])
async def test_a_stream_is_the_same_however_it_is_sent(
    client: aiohttp.ClientSession, url: str, orders: dict[str, Any]
) -> None:
    body = chat({"tokens": 30} | orders, stream=True, stream_options={"include_usage": True})
    status, data = await post(client, url, body)
    *chunks, done = events_of(data)
    parsed = [json.loads(chunk) for chunk in chunks]
    assert (status, done) == (200, "[DONE]")
    content = "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in parsed[:-1])
    assert content == "".join(f"w{number} " for number in range(30))
    assert parsed[-1]["usage"] == {"prompt_tokens": 7, "completion_tokens": 30, "total_tokens": 37}
    record = await record_of(client, url)
    assert (record["state"], record["completion_tokens"]) == ("finished", 30)


async def test_a_connection_is_used_again(url: str) -> None:
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    statuses = []
    for body in (chat(stream=True), chat(), chat({"fault": "status", "status": 500}), chat(model="none"), chat()):
        writer.write(raw_post(body))
        head = await reader.readuntil(b"\r\n\r\n")
        statuses.append(int(head[9:12]))
        if b"chunked" in head:
            await reader.readuntil(b"\r\n0\r\n\r\n")
        else:
            await reader.readexactly(int(head.rpartition(b"content-length: ")[2]))
    assert statuses == [200, 200, 500, 404, 200]
    writer.close()


async def test_large_answers_come_whole(client: aiohttp.ClientSession, url: str) -> None:
    status, data = await post(client, url, chat({"content_bytes": 5_000_000, "split_bytes": 1 << 20}))
    assert (status, len(json.loads(data)["choices"][0]["message"]["content"])) == (200, 5_000_000)
    async with client.post(f"{url}/chat/completions", json=chat({"big_header_bytes": 4_000})) as answer:
        assert answer.headers["x-padding"] == "p" * 4_000
    body = chat({"tokens": 20_000}, stream=True)
    assert len(events_of((await post(client, url, body))[1])) == 20_003


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ([], 400, None),
        ({"model": "tiny"}, 400, None),
        (chat(stream_options={"include_usage": True}), 400, None),
        (chat({"speed": 1}), 400, None),
        (chat(model="none"), 404, "model_not_found"),
    ],
)
async def test_what_it_refuses_has_the_shape_of_openais_errors(
    client: aiohttp.ClientSession, url: str, body: object, status: int, code: str | None
) -> None:
    answered, data = await post(client, url, body)
    error = json.loads(data)["error"]
    assert (answered, error["code"], error["type"]) == (status, code, "invalid_request_error")
    assert error["message"]


async def test_a_body_over_the_limit_is_refused_while_it_is_sent(url: str) -> None:
    size = MAX_BODY_BYTES + (16 << 20)
    chunked = b"%x\r\n%b\r\n0\r\n\r\n" % (size, bytes(size))
    head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
    assert (await raw_exchange(url, head + chunked)).startswith(b"HTTP/1.1 413 ")


async def test_headers_over_the_limit_are_refused(url: str) -> None:
    data = await raw_exchange(url, b"GET /healthz HTTP/1.1\r\nx: " + b"x" * (MAX_HEADER_BYTES + 1))
    assert data.startswith(b"HTTP/1.1 431 ")


async def test_what_is_not_http_is_refused(url: str) -> None:
    assert (await raw_exchange(url, b"\x16\x03\x01\x02\x00")).startswith(b"HTTP/1.1 400 ")


async def test_http_1_0_gets_a_stream_that_ends_with_its_connection(url: str) -> None:
    head, _, body = (await raw_exchange(url, raw_post(chat(stream=True), "1.0"))).partition(b"\r\n\r\n")
    assert b"connection: close" in head
    assert events_of(body)[-1] == "[DONE]"


async def test_a_client_that_asks_to_close_is_closed(url: str) -> None:
    for body in (chat(), chat(stream=True), chat({"first_delay_ms": 1})):
        data = await raw_exchange(url, raw_post(body, headers="connection: close\r\n"))
        assert b"\r\nconnection: close\r\n" in data


async def test_a_client_that_waits_to_send_its_body_is_told_to(client: aiohttp.ClientSession, url: str) -> None:
    async with client.post(f"{url}/chat/completions", json=chat(), expect100=True) as answer:
        assert answer.status == 200


@pytest.mark.parametrize("status", [400, 401, 404, 429, 500, 503, 599])
@pytest.mark.parametrize("stream", [True, False])
async def test_the_fault_status(client: aiohttp.ClientSession, url: str, status: int, stream: bool) -> None:
    body = chat({"fault": "status", "status": status}, stream=stream)
    async with client.post(f"{url}/chat/completions", json=body) as answer:
        assert answer.status == status
        assert answer.headers.get("retry-after") == ("1" if status == 429 else None)
        assert (await answer.json())["error"]["code"] == "simulated"
    assert (await record_of(client, url))["state"] == "faulted"


@pytest.mark.parametrize("stream", [True, False])
async def test_the_faults_redirect_and_bad_json(client: aiohttp.ClientSession, url: str, stream: bool) -> None:
    status, _ = await post(client, url, chat({"fault": "redirect"}, stream=stream))
    assert status == 302
    status, data = await post(client, url, chat({"fault": "bad_json"}, stream=stream))
    assert status == 200
    with pytest.raises(json.JSONDecodeError):
        json.loads(data)


@pytest.mark.parametrize("stream", [True, False])
async def test_the_faults_garbage_and_close(client: aiohttp.ClientSession, url: str, stream: bool) -> None:
    assert await raw_exchange(url, raw_post(chat({"fault": "close"}, stream=stream))) == b""
    data = await raw_exchange(url, raw_post(chat({"fault": "garbage"}, stream=stream)))
    assert data and not data.startswith(b"HTTP")
    with pytest.raises(aiohttp.ClientError):
        await post(client, url, chat({"fault": "garbage"}, stream=stream))
    record = await record_of(client, url)
    assert (record["state"], record["completion_tokens"]) == ("faulted", 0)


async def test_the_fault_cut_resets_after_what_was_ordered(client: aiohttp.ClientSession, url: str) -> None:
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    body = chat({"fault": "cut", "after_chunks": 3}, stream=True)
    writer.write(raw_post(body, headers=f"x-request-id: {client.headers['x-request-id']}\r\n"))
    data = await reader.readuntil(b'"w1 "},"finish_reason":null}]}\n\n\r\n')
    with pytest.raises(ConnectionResetError):
        await reader.read()
    writer.close()
    assert data.count(b"data: ") == 3
    record = await record_of(client, url)
    assert (record["state"], record["completion_tokens"]) == ("faulted", 2)


async def test_the_fault_cut_instead_of_an_answer(url: str) -> None:
    with pytest.raises(ConnectionResetError):
        await raw_exchange(url, raw_post(chat({"fault": "cut"})))


async def test_the_fault_truncate(client: aiohttp.ClientSession, url: str) -> None:
    with pytest.raises(aiohttp.ClientPayloadError):
        await post(client, url, chat({"fault": "truncate"}))
    data = await raw_exchange(url, raw_post(chat({"fault": "truncate", "after_chunks": 2}, stream=True)))
    assert data.count(b"data: ") == 2
    assert not data.endswith(b"0\r\n\r\n")


async def test_the_fault_error_event(client: aiohttp.ClientSession, url: str) -> None:
    status, data = await post(client, url, chat({"fault": "error_event", "after_chunks": 3}, stream=True))
    *chunks, error = events_of(data)
    assert (status, len(chunks)) == (200, 3)
    assert json.loads(error)["error"]["type"] == "server_error"
    assert (await record_of(client, url))["completion_tokens"] == 2


async def test_the_fault_no_done(client: aiohttp.ClientSession, url: str) -> None:
    body = chat({"fault": "no_done", "tokens": 3}, stream=True, stream_options={"include_usage": True})
    chunks = [json.loads(event) for event in events_of((await post(client, url, body))[1])]
    assert len(chunks) == 5
    assert chunks[-1]["choices"][0]["finish_reason"] == "stop"
    assert {chunk["usage"] for chunk in chunks} == {None}


async def test_the_fault_stall_keeps_the_connection(client: aiohttp.ClientSession, url: str) -> None:
    body = chat({"fault": "stall", "after_chunks": 2}, stream=True)
    async with client.post(f"{url}/chat/completions", json=body) as answer:
        await answer.content.readuntil(b'"w0 "},"finish_reason":null}]}\n\n')
        record = await record_of(client, url)
        assert (record["state"], record["completion_tokens"]) == ("faulted", 1)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(answer.content.readany(), 0.05)
        assert not answer.content.at_eof()


async def test_an_answer_that_never_comes(client: aiohttp.ClientSession, url: str) -> None:
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(post(client, url, chat({"fault": "stall"})), 0.05)


@pytest.mark.parametrize("orders", [{"chunk_delay_ms": 1}, {"split_bytes": 1}, {}])
async def test_a_client_that_leaves_is_noticed_with_what_it_got(
    client: aiohttp.ClientSession, url: str, orders: dict[str, Any]
) -> None:
    body = chat({"tokens": 1_000_000} | orders, stream=True)
    async with client.post(f"{url}/chat/completions", json=body) as answer:
        await answer.content.readuntil(b'"w3 "}')
    record = await record_of(client, url)
    assert record["state"] == "client_left"
    assert 4 <= record["completion_tokens"] < 1_000_000


async def test_a_client_that_leaves_before_the_answer_is_noticed(client: aiohttp.ClientSession, url: str) -> None:
    parts = urlsplit(url)
    _, writer = await asyncio.open_connection(parts.hostname, parts.port)
    name = f"x-request-id: {client.headers['x-request-id']}\r\n"
    writer.write(raw_post(chat({"first_delay_ms": 60_000}), headers=name))
    await record_of(client, url, running=True)
    writer.close()
    record = await record_of(client, url)
    assert (record["state"], record["completion_tokens"]) == ("client_left", 0)


async def test_a_slow_reader_stops_the_generator(simulator: Simulator) -> None:
    parts = urlsplit(simulator.url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port, limit=1)
    writer.write(raw_post(chat({"tokens": 1_000_000}, stream=True)))
    emitted = -1
    for _ in range(POLLS):
        before, emitted = emitted, simulator.totals.completion_tokens
        if emitted == before > 0:
            break
        await asyncio.sleep(0.1)
    # 1,000,000 events are 200 MB; the kernel's buffers on both sides take a few MB and ours 150 kB.
    assert 0 < emitted < 200_000
    assert simulator.totals.requests == 1
    data = b""
    while b"data: [DONE]" not in data:  # it goes on as soon as it is read, up to the end
        data = data[-20:] + await reader.read(1 << 20)
    assert simulator.totals.completion_tokens == 1_000_000
    writer.close()


async def test_idle_connections_are_closed_and_stalled_ones_are_not(simulator: Simulator) -> None:
    parts = urlsplit(simulator.url)
    idle, idle_writer = await asyncio.open_connection(parts.hostname, parts.port)
    stalled, stalled_writer = await asyncio.open_connection(parts.hostname, parts.port)
    idle_writer.write(b"GET /healthz HTTP/1.1\r\n\r\n")
    stalled_writer.write(raw_post(chat({"fault": "stall", "after_chunks": 1}, stream=True)))
    await idle.readuntil(b'{"status":"ok"}')
    await stalled.readuntil(b"\n\n\r\n")
    simulator.close_idle()
    assert not idle.at_eof()
    simulator.close_idle()
    assert await idle.read() == b""
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(stalled.read(1), 0.05)
    for writer in (idle_writer, stalled_writer):
        writer.close()


async def test_pipelined_requests_are_not_answered_twice(url: str) -> None:
    data = await raw_exchange(url, raw_post(chat()) * 2)
    assert data.startswith(b"HTTP/1.1 400 ")


async def test_totals_add_up_over_models(client: aiohttp.ClientSession, simulator: Simulator) -> None:
    for body in (chat(max_tokens=5), chat(model="large", stream=True, n=2), chat({"fault": "bad_json"})):
        await post(client, simulator.url, body)
    await post(client, simulator.url, chat(model="none"))
    base = simulator.url.removesuffix("/v1")
    async with client.get(f"{base}/simulator/totals") as answer:
        totals = await answer.json()
    assert (totals["requests"], totals["finished"], totals["aborted"], totals["refused"]) == (3, 2, 1, 1)
    assert (totals["prompt_tokens"], totals["completion_tokens"]) == (21, 45)
    assert totals["by_model"]["large"]["completion_tokens"] == 40
    assert len(simulator.records()) == 3
    async with client.delete(f"{base}/simulator/requests") as answer:
        assert answer.status == 200
    assert (simulator.totals.requests, simulator.records()) == (0, [])


async def test_a_key_is_asked_for_and_recorded_only_where_told(client: aiohttp.ClientSession) -> None:
    simulator = await start(SimulatorSettings(api_key="upstream-key", record_credentials=True))
    try:
        for headers, status in (
            ({}, 401),
            ({"authorization": "Bearer wrong"}, 401),
            ({"Authorization": "Bearer upstream-key"}, 200),
        ):
            async with client.post(f"{simulator.url}/chat/completions", json=chat(), headers=headers) as answer:
                assert answer.status == status
        assert [record["authorization"] for record in simulator.records()] == ["Bearer upstream-key"]
        assert simulator.totals.refused == 2
    finally:
        await simulator.stop()


async def test_a_port_in_use_is_an_error_of_the_system(simulator: Simulator) -> None:
    with pytest.raises(OSError, match="address already in use"):
        await start(SimulatorSettings(port=simulator.port))


async def test_stopping_ends_what_is_open(client: aiohttp.ClientSession) -> None:
    simulator = await start(SETTINGS)
    body = chat({"chunk_delay_ms": 1_000}, stream=True)
    async with client.post(f"{simulator.url}/chat/completions", json=body) as answer:
        await answer.content.readuntil(b"\n\n")
        await simulator.stop()
        with pytest.raises(aiohttp.ClientPayloadError):
            await answer.read()
    assert simulator.totals.aborted == 1


async def test_the_openai_client_reads_answers_and_streams(url: str) -> None:
    messages: Any = [{"role": "user", "content": "one two three"}]
    async with openai.AsyncOpenAI(base_url=url, api_key="any", max_retries=0) as client:
        whole = await client.chat.completions.create(model="tiny", messages=messages, max_tokens=2)
        assert whole.choices[0].message.content == "w0 w1 "
        assert whole.choices[0].finish_reason == "length"
        assert whole.usage is not None and whole.usage.total_tokens == 9

        plain = await client.chat.completions.create(model="tiny", messages=messages, stream=True)
        assert [chunk.usage async for chunk in plain] == [None] * 22

        asked = await client.chat.completions.create(
            model="tiny",
            messages=messages,
            stream=True,
            stream_options={"include_usage": True},
            extra_body={"simulate": {"tokens": 3}},
        )
        chunks = [chunk async for chunk in asked]
        assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks[:-1]) == "w0 w1 w2 "
        assert chunks[-1].usage is not None and chunks[-1].usage.completion_tokens == 3

        assert [model.id async for model in client.models.list()] == ["tiny", "large"]
        with pytest.raises(openai.NotFoundError):
            await client.chat.completions.create(model="none", messages=messages)
