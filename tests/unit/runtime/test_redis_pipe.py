"""Calls on one connection: whose answer is whose, and what becomes of them when it ends. The server is played."""

import asyncio

import pytest
from redis.exceptions import ConnectionError as RedisGone
from redis.exceptions import InvalidResponse, MovedError, NoScriptError, ResponseError
from redis.exceptions import TimeoutError as RedisSlow

from runtime import redis_pipe
from runtime.redis_pipe import RedisPipe
from tests.support.waiting import until

PATIENT_S = 30.0


class Transport(asyncio.WriteTransport):
    """As real ones do, it tells that it has ended a moment after it was told to end."""

    def __init__(self, protocol: asyncio.Protocol) -> None:
        super().__init__()
        self.protocol = protocol
        self.written: list[bytes] = []
        self.is_closed = False
        self.error: Exception | None = None

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if self.error is not None:
            raise self.error
        self.written.append(bytes(data))

    def answer(self, data: bytes) -> None:
        self.protocol.data_received(data)

    def abort(self) -> None:
        if not self.is_closed:
            self.is_closed = True
            asyncio.get_running_loop().call_soon(self.protocol.connection_lost, None)


class Connections:
    """Makes connections; `may_open` not set, they are being opened until it is."""

    def __init__(self) -> None:
        self.opened: list[Transport] = []
        self.made = self.forgotten = 0
        self.may_open = asyncio.Event()
        self.may_open.set()
        self.error: Exception | None = None

    def make(self) -> "Connections":
        self.made += 1
        return self

    async def hand_over(self, protocol: asyncio.Protocol) -> asyncio.WriteTransport:
        await self.may_open.wait()
        if self.error is not None:
            raise self.error
        self.opened.append(Transport(protocol))
        return self.opened[-1]

    def forget(self) -> None:
        self.forgotten += 1


async def opened(timeout_s: float | None = PATIENT_S) -> tuple[RedisPipe, Connections, Transport]:
    """A pipe whose connection is there, and has answered one call."""
    connections = Connections()
    pipe = RedisPipe(connections.make, timeout_s)
    first = pipe.call("PING")
    await until(lambda: bool(connections.opened))
    transport = connections.opened[0]
    await until(lambda: bool(transport.written))
    transport.answer(b"+PONG\r\n")
    assert await first == b"PONG"
    transport.written.clear()
    return pipe, connections, transport


async def impatient() -> tuple[RedisPipe, Connections, Transport]:
    """The same, but from here on an answer must come soon: however slow this machine is, the connection is there."""
    pipe, connections, transport = await opened(timeout_s=None)
    assert pipe._line is not None
    pipe._line._timeout_s = 0.01
    return pipe, connections, transport


async def test_answers_come_in_the_order_of_the_calls_however_the_bytes_fall() -> None:
    pipe, connections, transport = await opened()
    calls = [pipe.call("EVALSHA", "abc", 0, n) for n in range(3)]
    assert transport.written == [
        b"*4\r\n$7\r\nEVALSHA\r\n$3\r\nabc\r\n$1\r\n0\r\n$1\r\n%d\r\n" % n for n in range(3)
    ], "sent before anything was answered"
    for byte in b"*2\r\n:1\r\n$1\r\na\r\n$-1\r\n:-7\r\n":
        transport.answer(bytes([byte]))
    assert await asyncio.gather(*calls) == [[1, b"a"], None, -7]
    assert connections.made == 1
    await pipe.aclose()


async def test_what_is_called_before_the_connection_is_there_is_sent_in_order_when_it_is() -> None:
    connections = Connections()
    connections.may_open.clear()
    pipe = RedisPipe(connections.make, PATIENT_S)
    calls = [pipe.call("GET", str(n)) for n in range(3)]
    connections.may_open.set()
    await until(lambda: bool(connections.opened and connections.opened[0].written))
    (transport,) = connections.opened
    assert b"".join(transport.written) == b"".join(b"*2\r\n$3\r\nGET\r\n$1\r\n%d\r\n" % n for n in range(3))
    transport.answer(b":0\r\n:1\r\n:2\r\n")
    assert await asyncio.gather(*calls) == [0, 1, 2]
    await pipe.aclose()


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"-NOSCRIPT No matching script.\r\n", NoScriptError),
        (b"-MOVED 5 10.0.0.1:7000\r\n", MovedError),
        (b"-ERR no\r\n", ResponseError),
    ],
)
async def test_an_error_is_named_as_redis_py_names_it_and_concerns_its_call_only(
    answer: bytes, error: type[Exception]
) -> None:
    pipe, connections, transport = await opened()
    calls = [pipe.call("GET", "a") for _ in range(3)]
    transport.answer(b":1\r\n" + answer + b":3\r\n")
    first, second, third = await asyncio.gather(*calls, return_exceptions=True)
    assert (first, type(second), third) == (1, error, 3)
    assert connections.made == 1
    await pipe.aclose()


async def test_a_caller_that_left_gets_nobody_elses_answer_into_trouble() -> None:
    pipe, _, transport = await opened()
    calls = [pipe.call("GET", "a") for _ in range(3)]
    calls[1].cancel()
    transport.answer(b":0\r\n:1\r\n:2\r\n")
    assert (await calls[0], await calls[2]) == (0, 2)
    await pipe.aclose()


async def test_what_the_server_tells_unasked_is_no_answer() -> None:
    pipe, _, transport = await opened()
    call = pipe.call("GET", "a")
    transport.answer(b">2\r\n+invalidate\r\n*1\r\n+a\r\n:1\r\n")
    assert await call == 1
    await pipe.aclose()


async def test_a_connection_that_ends_fails_all_that_wait_on_it_and_the_next_call_opens_another() -> None:
    pipe, connections, transport = await opened()
    calls = [pipe.call("GET", "a") for _ in range(3)]
    transport.protocol.connection_lost(ConnectionResetError())
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(answer) for answer in answers] == [RedisGone] * 3
    again = pipe.call("GET", "b")
    await until(lambda: len(connections.opened) == 2 and bool(connections.opened[1].written))
    assert connections.opened[1].written == [b"*2\r\n$3\r\nGET\r\n$1\r\nb\r\n"], "nothing is sent twice"
    connections.opened[1].answer(b":1\r\n")
    assert await again == 1
    await pipe.aclose()
    assert connections.forgotten == connections.made == 2


async def test_no_answer_in_time_ends_the_connection_for_all_that_wait_on_it() -> None:
    pipe, connections, transport = await impatient()
    calls = [pipe.call("GET", "a") for _ in range(2)]
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(answer) for answer in answers] == [RedisSlow] * 2
    assert transport.is_closed, "what comes late would be taken for the answer to another call"
    await until(lambda: connections.forgotten == 1)
    await pipe.aclose()


async def test_each_call_has_its_own_time() -> None:
    """The one timer looks at the first in the row, and again when that was answered."""
    pipe, _, transport = await impatient()
    first = pipe.call("GET", "a")
    transport.answer(b":1\r\n")
    second = pipe.call("GET", "b")
    assert await first == 1
    with pytest.raises(RedisSlow):
        await second
    await pipe.aclose()


async def test_without_a_bound_it_waits() -> None:
    pipe, _, transport = await opened(timeout_s=None)
    call = pipe.call("GET", "a")
    transport.answer(b":1\r\n")
    assert await call == 1
    await pipe.aclose()


async def test_a_server_that_cannot_be_reached_fails_what_waits_and_is_tried_again_by_the_next_call_only() -> None:
    connections = Connections()
    connections.error = RedisGone("refused")
    pipe = RedisPipe(connections.make, PATIENT_S)
    answers = await asyncio.gather(pipe.call("GET", "a"), pipe.call("GET", "b"), return_exceptions=True)
    assert list(answers) == [connections.error] * 2
    assert connections.made == 1
    with pytest.raises(RedisGone, match="refused"):
        await pipe.call("GET", "a")
    assert connections.made == 2
    await pipe.aclose()
    assert connections.forgotten == 2


async def test_a_connection_that_takes_too_long_to_open_is_given_up() -> None:
    connections = Connections()
    connections.may_open.clear()
    pipe = RedisPipe(connections.make, 0.01)
    with pytest.raises(RedisSlow):
        await pipe.call("GET", "a")
    await until(lambda: connections.forgotten == 1)
    assert not connections.opened
    await pipe.aclose()


async def test_a_socket_that_uvloop_finds_closed_is_redis_being_away() -> None:
    pipe, _, transport = await opened()
    waiting = pipe.call("GET", "a")
    transport.error = RuntimeError("unable to perform operation; the handler is closed")
    with pytest.raises(RedisGone, match="closed"):
        await pipe.call("GET", "b")
    with pytest.raises(RedisGone):
        await waiting
    await pipe.aclose()


@pytest.mark.parametrize("said", [b"?what is this\r\n", b":1\r\n:2\r\n"], ids=["no-redis", "not-asked-for"])
async def test_an_answer_that_makes_no_sense_ends_the_connection(said: bytes) -> None:
    pipe, connections, transport = await opened()
    calls = [pipe.call("GET", "a")]
    transport.answer(said)
    await asyncio.gather(*calls, return_exceptions=True)
    await until(lambda: connections.forgotten == 1)
    assert transport.is_closed
    if said.startswith(b"?"):
        assert isinstance(calls[0].exception(), InvalidResponse)
    await pipe.aclose()


async def test_more_than_may_wait_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_pipe, "_MAX_WAITING", 2)
    pipe, _, transport = await opened()
    calls = [pipe.call("GET", "a") for _ in range(2)]
    with pytest.raises(RedisGone, match="2 calls wait"):
        pipe.call("GET", "a")
    assert len(transport.written) == 2
    transport.answer(b":1\r\n:2\r\n")
    assert await asyncio.gather(*calls) == [1, 2]
    await pipe.aclose()


@pytest.mark.parametrize("is_open", [True, False])
async def test_closing_tells_those_who_wait(is_open: bool) -> None:
    connections = Connections()
    if not is_open:
        connections.may_open.clear()
    pipe = RedisPipe(connections.make, PATIENT_S)
    call = pipe.call("GET", "a")
    if is_open:
        await until(lambda: bool(connections.opened))
    await pipe.aclose()
    with pytest.raises(RedisGone, match="was closed"):
        await call
    assert connections.forgotten == 1
    assert all(transport.is_closed for transport in connections.opened)
    await pipe.aclose()
