"""An answer that is written to as its bytes arrive, in the framing its headers announced."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.http.request import Reply, Request
from runtime.http.stream import HIGH_WATER_BYTES, AnswerStream
from tests.support.asking import begin
from tests.support.memory_http import Answer, MemoryTransport, connected, get

Drained = Callable[[], Awaitable[None]]


async def never() -> None:
    await asyncio.Event().wait()


def stream_over(transport: MemoryTransport, drained: Drained = never, *, is_chunked: bool = True) -> AnswerStream:
    return AnswerStream(transport, drained, is_chunked=is_chunked)


Script = Callable[[AnswerStream], None]
HEADERS = [("content-type", "text/event-stream"), ("x-a", "1")]


async def streamed(script: Script, raw: bytes = get("/")) -> Answer:
    """What a client gets of an answer that `script` writes."""

    async def handler(request: Request) -> Reply:
        stream = request.begin(200, HEADERS)
        script(stream)
        return stream

    async with connected({("GET", "/"): handler}) as client:
        return await client.ask(raw)


def hello_world(stream: AnswerStream) -> None:
    stream.write(b"hello ")
    stream.write(b"")
    stream.write(b"world")
    stream.finish()


async def test_a_chunked_answer() -> None:
    answer = await streamed(hello_world)
    assert (answer.status, answer.body, answer.is_complete) == (200, b"hello world", True)
    assert answer.headers["transfer-encoding"] == "chunked"
    assert (answer.headers["content-type"], answer.headers["x-a"]) == ("text/event-stream", "1")


async def test_to_http_1_0_until_the_connection_ends() -> None:
    answer = await streamed(hello_world, b"GET / HTTP/1.0\r\n\r\n")
    assert answer.body == b"hello world" and "transfer-encoding" not in answer.headers


@pytest.mark.parametrize("version", ["1.0", "1.1"])
async def test_what_is_there_at_the_beginning_and_what_comes_with_the_end(version: str) -> None:
    async def handler(request: Request) -> Reply:
        stream = request.begin(200, HEADERS, b"hello ")
        stream.write(b"wide ")
        stream.finish(b"world")
        return stream

    async with connected({("GET", "/"): handler}) as connection:
        answer = await connection.ask(f"GET / HTTP/{version}\r\nhost: a\r\n\r\n".encode())
    assert answer.body == b"hello wide world"
    begun, _, ended = connection.transport.segments
    assert begun.startswith(b"HTTP/1.1 200 ") and begun.endswith(b"6\r\nhello \r\n" if version == "1.1" else b"hello ")
    assert ended == (b"5\r\nworld\r\n0\r\n\r\n" if version == "1.1" else b"world")


async def test_the_headers_do_not_wait_for_the_first_byte() -> None:
    seen: list[Answer] = []

    async def handler(request: Request) -> Reply:
        stream = request.begin(200, HEADERS)
        seen.append(connection.answer())
        stream.finish()
        return stream

    async with connected({("GET", "/"): handler}) as connection:
        await connection.ask(get("/"))
    assert seen[0].status == 200 and seen[0].headers["x-a"] == "1"


@given(st.lists(st.binary(max_size=40)), st.booleans())
def test_each_write_makes_one_segment(pieces: list[bytes], is_chunked: bool) -> None:
    transport = MemoryTransport()
    stream = stream_over(transport, is_chunked=is_chunked)
    expected = b""
    for piece in pieces:
        stream.write(piece)
        if piece:
            expected += b"%x\r\n%b\r\n" % (len(piece), piece) if is_chunked else piece
    assert transport.written == expected


def test_an_empty_write_does_not_end_a_chunked_body() -> None:
    transport = MemoryTransport()
    stream_over(transport).write(b"")
    assert transport.written == b""


def test_a_lost_connection_swallows_what_is_written() -> None:
    transport = MemoryTransport()
    transport.close()
    stream_over(transport).write(b"late")
    assert transport.written == b""


@pytest.mark.parametrize(("buffered", "is_congested"), [(0, False), (HIGH_WATER_BYTES, False), (65_537, True)])
def test_a_client_is_slow_when_more_waits_for_it_than_the_transport_takes(buffered: int, is_congested: bool) -> None:
    transport = MemoryTransport()
    transport.buffered = buffered
    assert stream_over(transport).is_congested is is_congested


async def test_a_client_that_reads_on() -> None:
    has_read = asyncio.Event()

    async def until_read() -> None:
        await has_read.wait()

    drained = begin(stream_over(MemoryTransport(), until_read).drain(timeout_s=60))
    await asyncio.sleep(0)
    assert not drained.done()
    has_read.set()
    await drained


async def test_a_client_that_never_reads_on() -> None:
    with pytest.raises(TimeoutError):
        await stream_over(MemoryTransport()).drain(timeout_s=0.001)


async def test_a_client_that_left_before_the_answer_began() -> None:
    async def handler(request: Request) -> Reply:
        connection.leave()
        with pytest.raises(ConnectionResetError):
            request.begin(200, HEADERS)
        seen.append("left")
        raise ConnectionResetError

    seen: list[str] = []
    async with connected({("GET", "/"): handler}) as connection:
        await connection.ask(get("/"))
    assert seen == ["left"]
