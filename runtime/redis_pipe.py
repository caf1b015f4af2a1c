"""Many calls over one connection to Redis, none of which waits for the answers to those before it (pipelining).

A call through redis-py's pool costs some fifty microseconds: it packs in Python, and reads through two layers of
asyncio. Here hiredis packs and parses, in C, and the loop hands over the bytes: a tenth of that. The connection itself
is made by redis-py, with all that a URL can say.

Nothing is sent twice. Whatever ends a connection fails all calls that wait on it, each of which may have been executed;
the next call opens another.
"""

import asyncio
from bisect import bisect_left
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol, cast

import hiredis
from redis._parsers import BaseParser
from redis.exceptions import ConnectionError as RedisGone
from redis.exceptions import InvalidResponse
from redis.exceptions import TimeoutError as RedisSlow

from runtime.metrics.common import REDIS_CALLS, REDIS_FAILURES
from runtime.metrics.series import MICROSECONDS
from runtime.tasks import TaskSet

# Those who call collect what many ask for: a few calls wait at a time. So many are a fault, or a Redis that is stuck.
_MAX_WAITING = 1_000
_CLOSE_TIMEOUT_S = 1.0
_INCOMPLETE = object()
# Declared as for commands of one word.
_packed = cast(Callable[[tuple[str | bytes | int, ...]], bytes], hiredis.pack_command)


class Connection(Protocol):
    """What opens the way to the server."""

    async def hand_over(self, protocol: asyncio.Protocol) -> asyncio.WriteTransport:
        """Connects, and leaves all that comes from then on to `protocol`. Raises RedisError."""

    def forget(self) -> None:
        """Closes what is open. It is not needed any more."""


class RedisPipe:
    """`make` makes a connection that is not open yet. `timeout_s`: to open it, and for each answer (None: for ever)."""

    def __init__(self, make: Callable[[], Connection], timeout_s: float | None) -> None:
        self._make = make
        self._timeout_s = timeout_s
        self._line: _Line | None = None
        self._tasks = TaskSet()

    def call(self, *command: str | bytes | int) -> "asyncio.Future[Any]":
        """What the server answers; RedisError where that is an error, or where none comes."""
        line = self._line
        if line is None or line.is_lost:
            line = self._line = _Line(self._make(), self._timeout_s)
            self._tasks.spawn(line.open(), name="redis-pipe")
        return line.call(_packed(command))

    async def aclose(self) -> None:
        """Who waits for an answer is told that the connection is closed."""
        line, self._line = self._line, None
        is_open = line is not None and line.is_open
        if line is not None:
            line.lose(RedisGone("the connection was closed"))
        await self._tasks.drain(_CLOSE_TIMEOUT_S if is_open else 0)


class _Line(asyncio.Protocol):
    """One connection. Answers come in the order of the calls."""

    def __init__(self, connection: Connection, timeout_s: float | None) -> None:
        self.is_lost = False
        self._connection = connection
        self._timeout_s = timeout_s
        self._loop = asyncio.get_running_loop()
        self._reader = hiredis.Reader(
            protocolError=InvalidResponse, replyError=BaseParser.parse_error, notEnoughData=_INCOMPLETE
        )
        self._transport: asyncio.WriteTransport | None = None
        self._unsent: list[bytes] = []  # until it is open
        self._waiting: deque[tuple[asyncio.Future[Any], float]] = deque()  # and until when
        self._timer: asyncio.TimerHandle | None = None
        self._ended = asyncio.Event()

    @property
    def is_open(self) -> bool:
        return self._transport is not None and not self.is_lost

    async def open(self) -> None:
        """Returns when the connection has ended: what was opened is closed, whatever happened."""
        try:
            async with asyncio.timeout(self._timeout_s):
                transport = await self._connection.hand_over(self)
            self._opened(transport)
            await self._ended.wait()
        except TimeoutError:
            self.lose(RedisSlow("Timeout connecting to server"))
        except Exception as error:
            self.lose(error)
        finally:
            self.lose(RedisGone("the connection was closed"))
            self._connection.forget()

    def call(self, packed: bytes) -> "asyncio.Future[Any]":
        if len(self._waiting) >= _MAX_WAITING:
            raise RedisGone(f"{_MAX_WAITING} calls wait for an answer")
        future: asyncio.Future[Any] = self._loop.create_future()
        self._send(packed)
        if self.is_lost:
            raise RedisGone("the connection is closed")
        if self._timeout_s is not None:
            deadline_s = self._loop.time() + self._timeout_s
            self._waiting.append((future, deadline_s))
            if self._timer is None:
                self._timer = self._loop.call_at(deadline_s, self._look_at_the_clock)
        else:
            self._waiting.append((future, 0.0))
        return future

    def lose(self, error: Exception) -> None:
        """Ends it: all that wait for an answer get `error`."""
        if self.is_lost:
            return
        self.is_lost = True
        self._unsent.clear()
        if self._timer is not None:
            self._timer.cancel()
        if self._transport is not None:
            self._transport.abort()
        REDIS_FAILURES.add((), len(self._waiting))
        while self._waiting:
            future, _ = self._waiting.popleft()
            if not future.done():  # its caller may have left
                future.set_exception(error)

    def data_received(self, data: bytes) -> None:
        try:
            self._reader.feed(data)
            while (answer := self._reader.gets()) is not _INCOMPLETE:
                if not isinstance(answer, hiredis.PushNotification):
                    self._answered(answer)
        except InvalidResponse as error:
            self.lose(error)

    def connection_lost(self, error: Exception | None) -> None:
        self.lose(RedisGone(f"Connection closed by server ({error})" if error else "Connection closed by server"))
        self._ended.set()

    def _opened(self, transport: asyncio.WriteTransport) -> None:
        if self.is_lost:
            transport.abort()
            return
        self._transport = transport
        unsent, self._unsent = self._unsent, []
        self._send(b"".join(unsent))

    def _send(self, packed: bytes) -> None:
        if self._transport is None:
            self._unsent.append(packed)
            return
        try:
            self._transport.write(packed)
        except RuntimeError as error:  # so says uvloop of a socket that was closed a moment ago
            self.lose(RedisGone(f"the connection is closed ({error})"))

    def _answered(self, answer: Any) -> None:
        if not self._waiting:
            raise InvalidResponse("an answer that nobody has asked for")
        future, deadline_s = self._waiting.popleft()
        self._note_time(deadline_s)
        if future.done():
            return
        if isinstance(answer, Exception):
            future.set_exception(answer)
        else:
            future.set_result(answer)

    def _note_time(self, deadline_s: float) -> None:
        """When it was sent follows from when its time would have been up."""
        if self._timeout_s is not None:
            took_us = int((self._loop.time() - deadline_s + self._timeout_s) * MICROSECONDS)
            row = REDIS_CALLS.values[()]
            row[bisect_left(REDIS_CALLS.bounds, took_us)] += 1
            row[-1] += took_us

    def _look_at_the_clock(self) -> None:
        """One timer for all: the first in the row has waited longest."""
        self._timer = None
        if not self._waiting:
            return
        deadline_s = self._waiting[0][1]
        if deadline_s <= self._loop.time():
            self.lose(RedisSlow("Timeout reading from server"))
        else:
            self._timer = self._loop.call_at(deadline_s, self._look_at_the_clock)
