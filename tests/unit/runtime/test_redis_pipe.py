"""Calls on one connection, against a server that answers when it is told to."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from unittest.mock import MagicMock

import pytest
from redis.exceptions import ConnectionError as RedisGone
from redis.exceptions import InvalidResponse, NoScriptError, ResponseError
from redis.exceptions import TimeoutError as RedisSlow

from runtime.redis_pipe import Opened, Pipe
from runtime.tasks import TaskSet

BOUND_S = 30.0


class Transport(asyncio.Transport):
    """What was written, until the server answers."""

    def __init__(self, protocol: asyncio.Protocol) -> None:
        super().__init__()
        self.protocol = protocol
        self.written: list[bytes] = []
        self.is_gone = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written.append(bytes(data))

    def is_closing(self) -> bool:
        return self.is_gone

    def abort(self) -> None:
        self.is_gone = True

    def answer(self, *pieces: bytes) -> None:
        for piece in pieces:
            self.protocol.data_received(piece)


class Server:
    def __init__(self) -> None:
        self.lines: list[Transport] = []
        self.error: Exception | None = None
        self.may_open = asyncio.Event()
        self.may_open.set()

    async def open(self, protocol: asyncio.Protocol) -> Opened:
        await self.may_open.wait()
        if self.error is not None:
            raise self.error
        self.lines.append(Transport(protocol))
        return Opened(self.lines[-1], lambda text: (NoScriptError if "NOSCRIPT" in text else ResponseError)(text), self)


@asynccontextmanager
async def calling(pipe: Pipe, *commands: tuple[bytes | str | int, ...]) -> AsyncIterator[list["asyncio.Task[object]"]]:
    """The calls as tasks, all of them sent."""
    async with asyncio.timeout(BOUND_S):
        running = TaskSet()
        tasks = [running.spawn(pipe.call(command), name="call") for command in commands]
        for _ in range(5):
            await asyncio.sleep(0)
        yield tasks
        await asyncio.gather(*tasks, return_exceptions=True)


def outcomes(tasks: list["asyncio.Task[object]"]) -> list[type[object]]:
    return [type(task.exception()) for task in tasks]


async def test_answers_go_to_the_calls_in_their_order_however_they_are_cut() -> None:
    server = Server()
    async with calling(Pipe(server.open, 9.0), ("GET", "é", 7), (b"B\r\n", b"")) as tasks:
        (line,) = server.lines
        assert b"".join(line.written) == (
            b"*3\r\n$3\r\nGET\r\n$2\r\n\xc3\xa9\r\n$1\r\n7\r\n*2\r\n$3\r\nB\r\n\r\n$0\r\n\r\n"
        )
        line.answer(b"*2\r\n:1\r", b"\n$1\r\nx\r\n_", b"\r\n")
    assert [task.result() for task in tasks] == [[1, b"x"], None]


async def test_an_error_reply_is_the_exception_that_it_names_and_the_connection_stays() -> None:
    server = Server()
    pipe = Pipe(server.open, 9.0)
    async with calling(pipe, ("A",), ("B",), ("C",)) as tasks:
        server.lines[0].answer(b"-NOSCRIPT no\r\n-ERR x\r\n#f\r\n")
    assert outcomes(tasks[:2]) == [NoScriptError, ResponseError]
    assert tasks[2].result() is False
    async with calling(pipe, ("D",)) as tasks:
        server.lines[0].answer(b":4\r\n")
    assert tasks[0].result() == 4


async def test_who_left_takes_nobody_elses_answer() -> None:
    server = Server()
    async with calling(Pipe(server.open, 9.0), ("A",), ("B",)) as tasks:
        tasks[0].cancel()
        await asyncio.sleep(0)
        server.lines[0].answer(b":1\r\n:2\r\n")
    assert tasks[0].cancelled() and tasks[1].result() == 2


async def test_what_is_pushed_is_no_answer() -> None:
    server = Server()
    async with calling(Pipe(server.open, 9.0), ("A",)) as tasks:
        server.lines[0].answer(b">2\r\n$3\r\nfoo\r\n:1\r\n", b":5\r\n")
    assert tasks[0].result() == 5


async def test_no_answer_in_time_ends_the_connection_for_all_and_the_next_call_opens_another() -> None:
    server = Server()
    pipe = Pipe(server.open, 0.02)
    async with calling(pipe, ("A",), ("B",)) as tasks:
        pass
    assert outcomes(tasks) == [RedisSlow, RedisSlow] and server.lines[0].is_gone
    async with calling(pipe, ("C",)) as tasks:
        server.lines[1].answer(b":3\r\n")
    assert tasks[0].result() == 3


async def test_time_counts_from_each_calls_own_beginning(monkeypatch: pytest.MonkeyPatch) -> None:
    server, timers = Server(), []

    def call_later(delay_s: float, callback: Callable[[], None]) -> MagicMock:
        timers.append((delay_s, callback))
        return MagicMock()

    monkeypatch.setattr(asyncio.get_running_loop(), "call_later", call_later)
    pipe = Pipe(server.open, 9.0)
    async with calling(pipe, ("A",)):
        server.lines[0].answer(b":1\r\n")
    async with calling(pipe, ("B",)) as tasks:
        ((_, strike),) = timers
        strike()  # armed by the first call, which was answered
        assert not server.lines[0].is_gone and 0 < timers[1][0] <= 9.0
        server.lines[0].answer(b":2\r\n")
    assert tasks[0].result() == 2


@pytest.mark.parametrize("answer", [b"?what\r\n", b":1\r\n:2\r\n"])
async def test_what_is_no_answer_ends_the_connection(answer: bytes) -> None:
    server = Server()
    pipe = Pipe(server.open, 9.0)
    async with calling(pipe, ("A",)) as tasks:
        server.lines[0].answer(answer)
    assert server.lines[0].is_gone
    assert outcomes(tasks) == [InvalidResponse] if answer.startswith(b"?") else tasks[0].result() == 1


async def test_a_server_that_closes_fails_what_waits() -> None:
    server = Server()
    pipe = Pipe(server.open, 9.0)
    async with calling(pipe, ("A",)) as tasks:
        server.lines[0].protocol.connection_lost(ConnectionResetError())
    assert outcomes(tasks) == [RedisGone]
    server.lines[0].is_gone = False  # only the protocol was told
    async with calling(pipe, ("B",)) as tasks:
        server.lines[1].answer(b":2\r\n")
    assert tasks[0].result() == 2


async def test_a_connection_that_is_closing_is_not_written_to() -> None:
    server = Server()
    pipe = Pipe(server.open, 9.0)
    async with calling(pipe, ("A",)):
        server.lines[0].answer(b":1\r\n")
    server.lines[0].is_gone = True
    with pytest.raises(RedisGone):
        await pipe.call(("B",))
    assert len(server.lines[0].written) == 1


async def test_all_wait_for_one_connection_and_one_of_them_may_leave() -> None:
    server = Server()
    server.may_open.clear()
    pipe = Pipe(server.open, 9.0)
    async with calling(pipe, ("A",), ("B",)) as tasks:
        tasks[0].cancel()
        await asyncio.sleep(0)
        server.may_open.set()
        for _ in range(5):
            await asyncio.sleep(0)
        server.lines[0].answer(b":2\r\n")
    assert tasks[0].cancelled() and tasks[1].result() == 2 and len(server.lines) == 1


async def test_a_connection_that_cannot_be_made_is_tried_again_by_the_next_call() -> None:
    server = Server()
    server.error = RedisGone("refused")
    pipe = Pipe(server.open, 9.0)
    async with calling(pipe, ("A",), ("B",)) as tasks:
        pass
    assert outcomes(tasks) == [RedisGone, RedisGone]
    server.error = None
    async with calling(pipe, ("C",)) as tasks:
        server.lines[0].answer(b":1\r\n")
    assert tasks[0].result() == 1


async def test_the_queue_is_bounded() -> None:
    server = Server()
    async with calling(Pipe(server.open, 0.5), *[("A",)] * 1001) as tasks:
        assert outcomes([task for task in tasks if task.done()]) == [RedisGone]
        assert len(server.lines[0].written) == 1000
        server.lines[0].answer(b":1\r\n" * 1000)


async def test_closing_fails_what_waits_also_for_a_connection() -> None:
    server = Server()
    pipe = Pipe(server.open, 9.0)
    async with calling(pipe, ("A",)) as tasks:
        await pipe.close()
    assert outcomes(tasks) == [RedisGone] and server.lines[0].is_gone
    server.may_open.clear()
    other = Pipe(server.open, 9.0)
    async with calling(other, ("A",)) as tasks:
        await other.close()
    assert tasks[0].cancelled()
