"""Calls to one Redis server, one behind the other on one connection, and nobody waits for a turn.

redis-py gives each call a connection of a pool, packs it in Python, arms a timer and wakes a reader: 60 us of CPU. Here
a call is packed by hiredis, written, and its future is set when the answer is read: 8 us. The server runs one script
after the other anyway. redis-py still makes the connection and names the errors; see `proxy/redis_client.py`.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple, cast

import hiredis
from redis.exceptions import ConnectionError as RedisGone
from redis.exceptions import InvalidResponse, RedisError
from redis.exceptions import TimeoutError as RedisSlow

# Callers coalesce what they ask: dozens of calls are many.
_MAX_WAITING = 1_000
_NOT_YET = object()


class Opened(NamedTuple):
    """A connection on which nothing is under way. `name_error`: the text of an error reply -> its exception.

    `owner` is kept as long as the connection: without it, it would be closed.
    """

    transport: asyncio.Transport
    name_error: Callable[[str], Exception]
    owner: object


# Connects, and gives what comes to the protocol. Raises RedisError.
Open = Callable[[asyncio.Protocol], Awaitable[Opened]]


class Pipe:
    """Connects when it is needed. A call that is not answered in time ends the connection, and all that wait on it."""

    def __init__(self, open_line: Open, timeout_s: float) -> None:
        self._open_line = open_line
        self._timeout_s = timeout_s
        self._line: _Line | None = None
        self._opening: asyncio.Task[_Line] | None = None

    async def call(self, command: tuple[bytes | str | int | float, ...]) -> Any:
        """The server's answer. Raises RedisError; after it, nobody knows if the command has run."""
        line = self._line
        if line is None or line.is_closed:
            line = await self._connected()
        return await line.send(hiredis.pack_command(cast(Any, command)))

    async def close(self) -> None:
        """What waits fails."""
        if self._opening is not None:
            self._opening.cancel()
            await asyncio.gather(self._opening, return_exceptions=True)
        if self._line is not None:
            self._line.abort(RedisGone("the client was closed"))

    async def _connected(self) -> "_Line":
        """All who come meanwhile wait for the same connection; one of them may leave."""
        if self._opening is None:
            self._opening = asyncio.get_running_loop().create_task(self._connect())
            self._opening.add_done_callback(self._opened)
        return await asyncio.shield(self._opening)

    async def _connect(self) -> "_Line":
        line = _Line(self._timeout_s)
        line.begin(await self._open_line(line))
        return line

    def _opened(self, opening: "asyncio.Task[_Line]") -> None:
        self._opening = None
        if not opening.cancelled() and opening.exception() is None:
            self._line = opening.result()


class _Line(asyncio.Protocol):
    """One connection: answers come in the order of the calls."""

    def __init__(self, timeout_s: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._timeout_s = timeout_s
        self._waiting: deque[tuple[asyncio.Future[Any], float]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self.is_closed = False

    def begin(self, opened: Opened) -> None:
        self._opened, self._transport = opened, opened.transport
        self._reader = hiredis.Reader(
            protocolError=InvalidResponse, replyError=opened.name_error, notEnoughData=cast(Any, _NOT_YET)
        )

    def send(self, packed: bytes) -> asyncio.Future[Any]:
        if self.is_closed or self._transport.is_closing():
            raise RedisGone("the connection is closed")
        if len(self._waiting) >= _MAX_WAITING:
            raise RedisGone(f"{_MAX_WAITING} calls wait")
        future: asyncio.Future[Any] = self._loop.create_future()
        self._transport.write(packed)
        self._waiting.append((future, self._loop.time() + self._timeout_s))
        if self._timer is None:
            self._timer = self._loop.call_later(self._timeout_s, self._look_at_the_oldest)
        return future

    def data_received(self, data: bytes) -> None:
        try:
            self._reader.feed(data)
            while (answer := self._reader.gets()) is not _NOT_YET:
                if not isinstance(answer, hiredis.PushNotification):  # nobody has subscribed to anything
                    self._answered(answer)
        except RedisError as error:
            self.abort(error)

    def _answered(self, answer: Any) -> None:
        if not self._waiting:
            raise InvalidResponse("an answer to nothing")
        future, _ = self._waiting.popleft()
        if future.done():
            return  # who asked has left
        if isinstance(answer, Exception):
            future.set_exception(answer)
        else:
            future.set_result(answer)

    def eof_received(self) -> None:
        """The transport closes."""

    def connection_lost(self, exc: Exception | None) -> None:
        self.abort(RedisGone(f"the server closed the connection ({type(exc).__name__ if exc else 'end'})"))

    def abort(self, error: Exception) -> None:
        """Nobody is answered any more."""
        self.is_closed = True
        self._transport.abort()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._waiting:
            future, _ = self._waiting.popleft()
            if not future.done():
                future.set_exception(error)

    def _look_at_the_oldest(self) -> None:
        """One timer for all, which is armed while somebody waits."""
        self._timer = None
        if not self._waiting:
            return
        left_s = self._waiting[0][1] - self._loop.time()
        if left_s <= 0:
            self.abort(RedisSlow("no answer in time"))
        else:
            self._timer = self._loop.call_later(left_s, self._look_at_the_oldest)
