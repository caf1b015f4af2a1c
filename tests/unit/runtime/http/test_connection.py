"""One client: its requests are answered in order, one at a time; what it does meanwhile is noticed."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from structlog.testing import capture_logs

from runtime.http.limits import HttpLimits
from runtime.http.request import Handler, Reply, Request
from runtime.http.response import Response
from runtime.http.server import Server
from tests.support.http_server import WORDS
from tests.support.memory_http import MemoryClient, get, post
from tests.support.waiting import until

LIMITS = HttpLimits(max_body_bytes=1 << 20, max_pipelined=3)
CHUNKED = b"POST / HTTP/1.1\r\nHost: f\r\nTransfer-Encoding: chunked\r\n\r\n"


@asynccontextmanager
async def client_of(handler: Handler) -> AsyncIterator[MemoryClient]:
    server = Server(handler, WORDS, LIMITS)
    client = MemoryClient(server)
    try:
        yield client
    finally:
        if not client.transport.is_closed or len(server):
            client.leave()
        await server.close()


async def echo(request: Request) -> Reply:
    return Response(200, [("x-path", request.path)], await request.read())


async def refuse(_: Request) -> Reply:
    return Response(401, [], b"no")


class Gate:
    """Answers when told to; what entered and what was cancelled."""

    def __init__(self) -> None:
        self.go = asyncio.Semaphore(0)
        self.entered: list[str] = []
        self.cancelled: list[str] = []

    async def __call__(self, request: Request) -> Reply:
        self.entered.append(request.path)
        try:
            await self.go.acquire()
        except asyncio.CancelledError:
            self.cancelled.append(request.path)
            raise
        return Response(200, [], request.path.encode())


def paths_answered(client: MemoryClient) -> list[bytes]:
    return [part.rpartition(b"\r\n\r\n")[2] for part in bytes(client.transport.written).split(b"HTTP/1.1 200 OK")[1:]]


def is_read(client: MemoryClient) -> bool:
    return not client.transport.is_read_paused


def is_open(client: MemoryClient) -> bool:
    return not client.transport.is_closed


def soon(seconds: float) -> float:
    return asyncio.get_running_loop().time() + seconds


# order


async def test_a_connection_serves_one_request_after_another() -> None:
    async with client_of(echo) as client:
        for body in (b"one", b"two"):
            client.transport.written.clear()
            answer = await client.ask(post("/", body))
            assert (answer.status, answer.body, "connection" in answer.headers) == (200, body, False)


async def test_pipelined_requests_are_answered_in_order_one_at_a_time_and_nothing_is_read_before_that() -> None:
    gate = Gate()
    async with client_of(gate) as client:
        client.send(get("/1") + get("/2") + get("/3"))
        for done in range(3):
            await until(lambda done=done: len(gate.entered) == done + 1)  # type: ignore[misc]
            assert len(paths_answered(client)) == done
            assert client.transport.is_read_paused is (done < 2)
            gate.go.release()
        await until(lambda: len(paths_answered(client)) == 3)
        assert paths_answered(client) == [b"/1", b"/2", b"/3"]


async def test_more_of_them_than_is_sensible_are_not_answered_and_the_connection_ends() -> None:
    async with client_of(echo) as client:
        client.send(b"".join(get(f"/{number}") for number in range(10)))
        await until(lambda: client.is_over)
        assert bytes(client.transport.written).count(b"HTTP/1.1 200 OK") == LIMITS.max_pipelined
        assert b"400" not in client.transport.written


async def test_what_follows_a_good_request_and_is_no_http_is_answered_after_it() -> None:
    async with client_of(echo) as client:
        with capture_logs() as logs:
            client.send(get("/1") + b"no HTTP\r\n\r\n")
            await until(lambda: client.is_over)
        assert bytes(client.transport.written).count(b"HTTP/1.1 ") == 2
        assert bytes(client.transport.written).endswith(b"\r\n\r\nbad")
        assert [line["event"] for line in logs] == ["bad_http"]


async def test_a_client_that_does_not_read_is_not_answered_further() -> None:
    gate = Gate()
    async with client_of(gate) as client:
        client.send(get("/1"))
        await until(lambda: gate.entered == ["/1"])
        client.protocol.pause_writing()
        gate.go.release()
        await until(lambda: paths_answered(client) == [b"/1"])
        client.send(get("/2"))
        assert client.transport.is_read_paused and gate.entered == ["/1"]
        client.protocol.resume_writing()
        await until(lambda: gate.entered == ["/1", "/2"])
        assert not client.transport.is_read_paused


# how it ends


@pytest.mark.parametrize(
    ("raw", "connection", "goes_on"),
    [
        (b"GET / HTTP/1.1\r\nHost: f\r\n\r\n", None, True),
        (b"GET / HTTP/1.1\r\nHost: f\r\nConnection: close\r\n\r\n", "close", False),
        (b"GET / HTTP/1.0\r\n\r\n", "close", False),
        (b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", "keep-alive", True),
    ],
)
async def test_who_may_go_on_is_told(raw: bytes, connection: str | None, goes_on: bool) -> None:
    async with client_of(echo) as client:
        answer = await client.ask(raw)
        assert (answer.headers.get("connection"), client.transport.is_closed) == (connection, not goes_on)
        assert not client.transport.has_ended


async def test_to_head_only_the_head_is_sent() -> None:
    async with client_of(refuse) as client:
        client.send(b"HEAD / HTTP/1.1\r\nHost: f\r\n\r\n")
        await until(lambda: bytes(client.transport.written).endswith(b"\r\n\r\n"))
        assert b"content-length: 2\r\n" in client.transport.written


async def test_while_the_process_stops_nobody_is_kept() -> None:
    gate = Gate()
    async with client_of(gate) as client:
        idle = MemoryClient(client.server)
        client.send(get("/1"))
        await until(lambda: gate.entered == ["/1"])
        client.server.begin_draining()
        assert idle.transport.is_closed and not client.transport.is_closed
        idle.leave()
        gate.go.release()
        await until(lambda: client.transport.is_closed)
        assert client.answer().headers["connection"] == "close"


async def test_a_stream_that_began_before_the_process_stops_ends_properly_and_so_does_its_connection() -> None:
    begun, go = asyncio.Event(), asyncio.Event()

    async def streaming(request: Request) -> Reply:
        stream = request.begin(200, [])
        begun.set()
        await go.wait()
        stream.finish()
        return stream

    async with client_of(streaming) as client:
        client.send(get("/"))
        await begun.wait()
        client.server.begin_draining()
        go.set()
        await until(lambda: client.transport.is_closed)
        assert client.answer().is_complete and not client.transport.was_aborted


@pytest.mark.parametrize("fault", [RuntimeError("a secret"), ValueError("a secret")])
async def test_a_fault_of_ours_is_one_answer_and_the_end(fault: Exception) -> None:
    async def broken(_: Request) -> Reply:
        raise fault

    async with client_of(broken) as client:
        with capture_logs() as logs:
            answer = await client.ask(get("/"))
        assert (answer.status, answer.body, answer.headers["connection"]) == (500, b"failed", "close")
        assert client.transport.is_closed
        assert [line["event"] for line in logs] == ["handler_failed"]


async def test_a_header_that_would_begin_another_is_a_fault_of_ours() -> None:
    async def injected(_: Request) -> Reply:
        return Response(200, [("x-a", "1\r\nx-evil: 2")])

    async with client_of(injected) as client:
        answer = await client.ask(get("/"))
        assert answer.status == 500 and "x-evil" not in answer.headers


@pytest.mark.parametrize("how", ["fault", "forgotten", "connection"])
async def test_an_answer_that_cannot_go_on_does_not_look_whole(how: str) -> None:
    async def cut(request: Request) -> Reply:
        stream = request.begin(200, [])
        stream.write(b"half")
        if how == "forgotten":
            return stream
        raise ConnectionAbortedError if how == "connection" else RuntimeError

    async with client_of(cut) as client:
        client.send(get("/"))
        await until(lambda: client.transport.was_aborted)
        assert bytes(client.transport.written).endswith(b"4\r\nhalf\r\n")


# bodies


async def test_the_body_comes_after_its_head() -> None:
    async with client_of(echo) as client:
        raw = post("/", b"hello")
        client.send(raw[:-5])
        await asyncio.sleep(0)
        client.send(raw[-5:-2])
        assert (await client.ask(raw[-2:])).body == b"hello"


async def test_who_asks_first_is_told_to_go_on_when_the_body_is_wanted() -> None:
    async with client_of(echo) as client:
        head = post("/", b"hello", "Expect: 100-continue")[:-5]
        client.send(head)
        await until(lambda: bytes(client.transport.written) == b"HTTP/1.1 100 Continue\r\n\r\n")
        client.transport.written.clear()
        assert (await client.ask(b"hello")).body == b"hello"


async def test_who_asks_first_and_is_refused_is_not_told_to_go_on() -> None:
    async with client_of(refuse) as client:
        answer = await client.ask(post("/", b"hello", "Expect: 100-continue")[:-5])
        assert (answer.status, answer.headers["connection"]) == (401, "close")
        assert client.transport.has_ended


async def test_a_body_that_nobody_asks_for_is_not_read_for_ever() -> None:
    asked = asyncio.Event()

    async def late(request: Request) -> Reply:
        await asked.wait()
        return Response(200, [], b"%d" % len(await request.read()))

    async with client_of(late) as client:
        piece = b"8000\r\n" + b"x" * 0x8000 + b"\r\n"
        client.send(CHUNKED + piece)
        await asyncio.sleep(0)
        assert is_read(client)
        client.send(piece * 2)
        assert client.transport.is_read_paused
        asked.set()
        await until(lambda: not client.transport.is_read_paused)
        assert (await client.ask(piece + b"0\r\n\r\n")).body == b"%d" % (4 * 0x8000)


async def test_a_refusal_in_the_middle_of_a_body_is_heard() -> None:
    """Closing with bytes unread would reset the connection, and the client might never see the answer."""
    async with client_of(refuse) as client:
        answer = await client.ask(post("/", b"x" * 100)[:-50])
        assert (answer.status, answer.headers["connection"]) == (401, "close")
        assert client.transport.has_ended and not client.transport.is_closed
        written = bytes(client.transport.written)
        client.send(b"x" * 50 + get("/"))
        await asyncio.sleep(0)
        assert bytes(client.transport.written) == written
        client.server.sweep(soon(LIMITS.linger_s + 1))
        assert client.transport.was_aborted


async def test_who_is_gone_in_the_moment_of_the_refusal_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    def not_connected() -> None:
        raise OSError(107, "Transport endpoint is not connected")

    async with client_of(refuse) as client:
        monkeypatch.setattr(client.transport, "write_eof", not_connected)
        client.send(CHUNKED)
        await until(lambda: client.transport.was_aborted)


async def test_who_goes_on_sending_after_a_refusal_is_not_heard_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runtime.http.connection._MAX_DROPPED_BYTES", 1000)
    async with client_of(refuse) as client:
        await client.ask(CHUNKED)
        client.send(b"x" * 1000)
        assert not client.transport.is_closed
        client.send(b"x")
        assert client.transport.was_aborted


# the client leaves


@pytest.mark.parametrize("how", ["lost", "ended"])
async def test_a_client_that_leaves_is_noticed_while_its_answer_is_made(how: str) -> None:
    gate = Gate()
    async with client_of(gate) as client:
        client.send(get("/1"))
        await until(lambda: gate.entered == ["/1"])
        if how == "ended":
            client.protocol.eof_received()
            assert client.transport.was_aborted
        client.leave()
        await until(lambda: gate.cancelled == ["/1"])
        assert not client.transport.written


async def test_nothing_that_waits_for_its_turn_is_begun_for_a_client_that_left() -> None:
    gate = Gate()
    async with client_of(gate) as client:
        client.send(get("/1") + get("/2"))
        await until(lambda: gate.entered == ["/1"])
        client.leave()
        await until(lambda: gate.cancelled == ["/1"])
        await asyncio.sleep(0)
        assert gate.entered == ["/1"]


async def test_a_slow_client_is_waited_for_until_it_reads_on_or_leaves() -> None:
    seen: list[Any] = []

    async def streaming(request: Request) -> Reply:
        stream = request.begin(200, [])
        await stream.drain(60)
        seen.append("ready")
        client.protocol.pause_writing()
        await stream.drain(60)
        seen.append("read on")
        client.protocol.pause_writing()
        try:
            await stream.drain(60)
        except (ConnectionResetError, asyncio.CancelledError) as error:
            seen.append(type(error))
            raise
        return stream

    async with client_of(streaming) as client:
        client.send(get("/"))
        await until(lambda: seen == ["ready"])
        client.protocol.resume_writing()
        await until(lambda: seen == ["ready", "read on"])
        client.leave()
        await until(lambda: len(seen) == 3)


# time


async def test_an_idle_connection_is_closed_and_one_at_work_is_not() -> None:
    gate = Gate()
    async with client_of(gate) as client:
        client.server.sweep(soon(LIMITS.keep_alive_s - 1))
        assert not client.transport.is_closed
        client.send(get("/1"))
        await until(lambda: gate.entered == ["/1"])
        client.server.sweep(soon(LIMITS.keep_alive_s * 100))
        assert not client.transport.is_closed
        gate.go.release()
        await until(lambda: paths_answered(client) == [b"/1"])
        client.server.sweep(soon(LIMITS.keep_alive_s + 1))
        assert client.transport.is_closed


async def test_a_head_that_comes_drop_by_drop_is_waited_for_once() -> None:
    async with client_of(echo) as client:
        client.send(b"GET / HT")
        client.server.sweep(soon(LIMITS.head_s - 1))
        assert is_open(client)
        deadline_s = client.protocol.patience.deadline_s
        client.send(b"T")
        assert client.protocol.patience.deadline_s == deadline_s
        client.server.sweep(soon(LIMITS.head_s + 1))
        assert client.transport.is_closed and not client.transport.written


async def test_who_still_reads_the_last_answer_is_waited_for() -> None:
    async with client_of(echo) as client:
        await client.ask(get("/"))
        for unsent in (300, 200, 100):
            client.transport.buffered = unsent
            client.server.sweep(client.protocol.patience.deadline_s)
            assert is_open(client)
        client.server.sweep(client.protocol.patience.deadline_s)
        assert client.transport.was_aborted
