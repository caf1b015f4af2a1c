"""All connections of a server, on real sockets: kept, drained, cut."""

import asyncio
import socket
from typing import cast

from structlog.testing import capture_logs

from runtime.http.limits import HttpLimits
from runtime.http.request import Reply, Request
from runtime.http.response import Response
from tests.support.both_loops import on_both_loops
from tests.support.http_server import listening
from tests.support.waiting import until

GET = b"GET / HTTP/1.1\r\nHost: f\r\n\r\n"


async def hello(request: Request) -> Reply:
    assert request.remote == "127.0.0.1"
    return Response(200, [], b"hello")


async def refuse(_: Request) -> Reply:
    return Response(401, [], b"no")


async def everything(reader: asyncio.StreamReader) -> bytes:
    async with asyncio.timeout(30):
        return await reader.read()


@on_both_loops
async def test_a_connection_is_kept_and_counted() -> None:
    async with listening(hello) as at:
        reader, writer = await asyncio.open_connection(at.host, at.port)
        for _ in range(3):
            writer.write(GET)
            assert (await reader.readuntil(b"hello")).startswith(b"HTTP/1.1 200 OK\r\n")
        assert len(at.server) == 1
        writer.close()
        await until(lambda: len(at.server) == 0)


@on_both_loops
async def test_an_answer_in_the_middle_of_a_body_arrives_whole() -> None:
    """More than all buffers take is still being sent when the answer comes and the connection ends."""
    async with listening(refuse) as at:
        reader, writer = await asyncio.open_connection(at.host, at.port)
        writer.write(b"POST / HTTP/1.1\r\nHost: f\r\nContent-Length: 16000000\r\n\r\n" + b"x" * 16_000_000)
        assert (await everything(reader)).endswith(b"\r\n\r\nno")
        await writer.drain()
        writer.close()
        await until(lambda: len(at.server) == 0)


@on_both_loops
async def test_a_large_answer_arrives_whole_before_the_connection_ends() -> None:
    async def large(_: Request) -> Reply:
        return Response(200, [], b"x" * 8_000_000)

    async with listening(large) as at:
        reader, writer = await asyncio.open_connection(at.host, at.port)
        writer.write(b"GET / HTTP/1.0\r\n\r\n")
        assert (await everything(reader)).count(b"x") == 8_000_000
        writer.close()


@on_both_loops
async def test_an_idle_connection_ends_by_itself() -> None:
    async with listening(hello, HttpLimits(keep_alive_s=0.0)) as at:
        reader, writer = await asyncio.open_connection(at.host, at.port)
        assert await everything(reader) == b""
        writer.close()
        await until(lambda: len(at.server) == 0)


@on_both_loops
async def test_who_is_to_go_elsewhere_is_answered_and_told_so() -> None:
    async with listening(hello) as at:
        reader, writer = await asyncio.open_connection(at.host, at.port)
        writer.write(GET)
        assert b"connection: close" not in await reader.readuntil(b"hello")
        at.server.keep_nobody()
        writer.write(GET)
        assert b"connection: close" in await everything(reader)
        writer.close()
        reader, writer = await asyncio.open_connection(at.host, at.port)
        writer.write(GET)
        assert b"connection: close" in await everything(reader)
        writer.close()


@on_both_loops
async def test_a_client_that_leaves_is_noticed_at_once() -> None:
    entered, cancelled = asyncio.Event(), asyncio.Event()

    async def patient(_: Request) -> Reply:
        entered.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise
        raise AssertionError

    async with listening(patient) as at:
        _, writer = await asyncio.open_connection(at.host, at.port)
        writer.write(GET)
        await entered.wait()
        writer.close()
        await asyncio.wait_for(cancelled.wait(), 30)


@on_both_loops
async def test_what_still_runs_is_cancelled_in_the_end_and_waited_for() -> None:
    entered, ended = asyncio.Event(), []

    async def slow_to_end(_: Request) -> Reply:
        entered.set()
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.01)
            ended.append(True)
        raise AssertionError

    async with listening(slow_to_end) as at:
        reader, writer = await asyncio.open_connection(at.host, at.port)
        _, idle = await asyncio.open_connection(at.host, at.port)
        writer.write(GET)
        await entered.wait()
        await at.server.close()
        assert ended == [True] and len(at.server) == 0
        assert await everything(reader) == b""
        writer.close()
        idle.close()


@on_both_loops
async def test_a_client_that_does_not_take_the_last_answer_is_not_waited_for_for_ever() -> None:
    async def large(_: Request) -> Reply:
        return Response(200, [], b"x" * 32_000_000)

    async with listening(large) as at:
        with socket.create_connection((at.host, at.port)) as client:
            client.sendall(b"GET / HTTP/1.0\r\n\r\n")
            await asyncio.get_running_loop().run_in_executor(None, client.recv, 1)
            far = asyncio.get_running_loop().time()
            while len(at.server):
                far += 1000
                at.server.sweep(far)
                await asyncio.sleep(0)


@on_both_loops
async def test_a_client_that_neither_reads_nor_leaves_is_cut_in_the_end() -> None:
    begun = asyncio.Event()

    async def endless(request: Request) -> Reply:
        stream = request.begin(200, [])
        begun.set()
        while True:
            stream.write(b"x" * 1_000_000)
            await stream.drain(60)

    async with listening(endless) as at:
        with socket.create_connection((at.host, at.port)) as client:
            client.sendall(GET)
            await begun.wait()
            await at.server.close()
            assert len(at.server) == 0


@on_both_loops
async def test_who_pipelines_and_reads_late_gets_every_answer_in_order() -> None:
    """Each answer is more than all buffers take."""
    begun: list[str] = []

    async def large(request: Request) -> Reply:
        begun.append(request.path)
        return Response(200, [], request.path.encode() * 8_000_000)

    async with listening(large) as at:
        reader, writer = await asyncio.open_connection(at.host, at.port)
        client = cast("asyncio.Transport", writer.transport)
        client.pause_reading()
        writer.write(b"".join(b"GET /%d HTTP/1.1\r\nHost: f\r\n\r\n" % number for number in range(3)))
        await until(lambda: begun == ["/0"])
        client.resume_reading()
        for number in range(3):
            await reader.readuntil(b"\r\n\r\n")
            assert await reader.readexactly(16_000_000) == b"/%d" % number * 8_000_000
            assert len(begun) <= number + 2
        assert begun == ["/0", "/1", "/2"]
        writer.close()


@on_both_loops
async def test_a_body_that_nobody_asks_for_waits_with_its_client_and_is_read_when_it_is_wanted() -> None:
    entered, go = asyncio.Event(), asyncio.Event()

    async def late(request: Request) -> Reply:
        entered.set()
        await go.wait()
        assert request.body.size_bytes < 4_000_000
        return Response(200, [], b"%d" % len(await request.read()))

    async with listening(late) as at:
        reader, writer = await asyncio.open_connection(at.host, at.port)
        writer.write(b"POST / HTTP/1.1\r\nHost: f\r\nConnection: close\r\nContent-Length: 16000000\r\n\r\n")
        writer.write(b"x" * 16_000_000)
        await entered.wait()
        go.set()
        assert (await everything(reader)).endswith(b"\r\n\r\n16000000")
        writer.close()


@on_both_loops
async def test_one_more_than_there_may_be_is_told_so_and_the_others_are_served() -> None:
    async with listening(hello, HttpLimits(max_connections=2)) as at:
        kept = [await asyncio.open_connection(at.host, at.port) for _ in range(2)]
        await until(lambda: len(at.server) == 2)
        with capture_logs() as logs:
            reader, writer = await asyncio.open_connection(at.host, at.port)
            assert (await everything(reader)).startswith(b"HTTP/1.1 503 ")
            await until(lambda: len(at.server) == 2)
            at.server.sweep(asyncio.get_running_loop().time())
        assert [(line["event"], line["count"]) for line in logs] == [("connections_turned_away", 1)]
        writer.close()
        for reader, writer in kept:
            writer.write(GET)
            assert (await reader.readuntil(b"hello")).startswith(b"HTTP/1.1 200 OK\r\n")
            writer.close()
        await until(lambda: len(at.server) == 0)
        reader, writer = await asyncio.open_connection(at.host, at.port)
        writer.write(GET)
        assert (await reader.readuntil(b"hello")).startswith(b"HTTP/1.1 200 OK\r\n")
        writer.close()


@on_both_loops
async def test_one_address_may_have_so_many_and_what_it_sends_at_once_is_not_read() -> None:
    async with listening(hello, HttpLimits(max_connections_per_address=1)) as at:
        reader, writer = await asyncio.open_connection(at.host, at.port)
        await until(lambda: len(at.server) == 1)
        late_reader, late = await asyncio.open_connection(at.host, at.port)
        late.write(GET)
        try:
            assert b"hello" not in await everything(late_reader)
        except ConnectionError:
            pass  # it was closed with bytes unread
        writer.write(GET)
        assert (await reader.readuntil(b"hello")).startswith(b"HTTP/1.1 200 OK\r\n")
        for each in (writer, late):
            each.close()
