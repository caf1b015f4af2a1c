"""One client's connection: requests in, answers out, one at a time and in order.

    data_received -> RequestParser -> a task a request -> its answer, in one write

Reading goes on while a request is answered, because only so it is noticed at once that the client has left: that
cancels the task. It pauses while more is there than is wanted. There is no timer: `Server` looks at `patience` once a
second.
"""

import asyncio
import socket
import struct
from typing import Protocol, cast

from runtime.http.limits import HttpLimits
from runtime.http.parser import RequestParser
from runtime.http.patience import Patience
from runtime.http.request import HTTP_1_1, Handler, Reply, Request
from runtime.http.response import CONTINUE, HeaderList, Response, head_bytes
from runtime.http.stream import AnswerStream

# Of a body that nobody has asked for yet: as much as the transport itself would read ahead.
_UNASKED_BODY_BYTES = 64 << 10
# What still comes after the last answer is dropped, so much of it.
_MAX_DROPPED_BYTES = 32 << 20
_CLOSE = b"connection: close\r\n"
_KEEP = b"connection: keep-alive\r\n"
_CHUNKED = b"transfer-encoding: chunked\r\n"
_RESET = struct.pack("ii", 1, 0)


class ConnectionOwner(Protocol):
    """The server, as its connections see it."""

    limits: HttpLimits
    handler: Handler
    is_draining: bool

    def bad_http(self, reason: str) -> Response: ...
    def failed(self, error: Exception) -> Response: ...
    def opened(self, connection: "Connection") -> None: ...
    def closed(self, connection: "Connection") -> None: ...


class Connection(asyncio.Protocol):
    """`task` answers the current request; `patience` knows for how long nothing may move."""

    __slots__ = (
        "_dropped_bytes",
        "_has_asked_for_body",
        "_is_deaf",
        "_is_read_paused",
        "_is_write_paused",
        "_loop",
        "_owner",
        "_parser",
        "_remote",
        "_request",
        "_stream",
        "_transport",
        "_waiting",
        "_writable",
        "patience",
        "task",
    )

    def __init__(self, owner: ConnectionOwner) -> None:
        self._owner = owner
        self._loop = asyncio.get_running_loop()
        self._parser = RequestParser(owner.limits)
        self._transport: asyncio.Transport
        self._waiting: list[Request] = []  # read before their turn
        self._request: Request | None = None
        self._stream: AnswerStream | None = None
        self._writable: asyncio.Future[None] | None = None
        self._remote: str | None = None
        self._is_deaf = self._has_asked_for_body = False
        self._is_read_paused = self._is_write_paused = False
        self._dropped_bytes = 0
        self.patience = Patience(owner.limits)
        self.task: asyncio.Task[None] | None = None

    # what the event loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's does not inherit from asyncio's
        connection = transport.get_extra_info("socket")
        if connection is not None:
            # a client whose machine is gone says nothing: the system finds out
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        self.patience.is_idle(self._loop.time())
        self._owner.opened(self)

    def data_received(self, data: bytes) -> None:
        if self._is_deaf:
            self._drop(len(data))
            return
        parser = self._parser
        parser.feed(data)
        if parser.requests:
            self._waiting += parser.take()
        request = self._request
        if request is None:
            self._take_next()
            request = self._request
        if self._waiting or self._is_read_paused or (request is not None and not request.body.is_over):
            self._balance()

    def eof_received(self) -> None:
        """A client that has stopped sending has left, as with most servers; what is written already flows off."""
        if self._request is not None:
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._is_deaf = True
        self._waiting.clear()
        self._parser.close()
        self.resume_writing()
        if self.task is not None:
            self.task.cancel()
        self._owner.closed(self)

    def pause_writing(self) -> None:
        self._is_write_paused = True

    def resume_writing(self) -> None:
        self._is_write_paused = False
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)
        if self._request is None and not self._is_deaf:
            self._take_next()
            self._balance()

    # what a request asks for

    @property
    def remote(self) -> str | None:
        if self._remote is None:
            peer = self._transport.get_extra_info("peername")
            self._remote = str(peer[0]) if isinstance(peer, tuple) else None
        return self._remote

    def want_body(self) -> None:
        request = self._request
        if request is None or self._transport.is_closing():
            return
        self._has_asked_for_body = True
        if request.expects_continue and not request.body.size_bytes:
            self._transport.write(CONTINUE)
        self._balance()

    def begin(self, status: int, headers: HeaderList, first: bytes = b"") -> AnswerStream:
        request = self._request
        if request is None or self._transport.is_closing():
            raise ConnectionResetError("the client left before the answer began")
        is_chunked = request.version is HTTP_1_1
        request.keeps_alive = is_chunked and self._may_go_on(request)
        framing = (_CHUNKED if is_chunked else b"") + (b"" if request.keeps_alive else _CLOSE)
        self._stream = stream = AnswerStream(self._transport, self._drained, is_chunked=is_chunked)
        self._transport.write(head_bytes(status, headers, framing) + stream.framed(first))
        return stream

    def abort(self, *, with_reset: bool = False) -> None:
        if with_reset and not self._transport.is_closing():
            connection = self._transport.get_extra_info("socket")
            if connection is not None:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self._transport.abort()  # also if it is closing: it may be waiting for a client that reads nothing

    async def _drained(self) -> None:
        if self._is_write_paused:
            self._writable = self._loop.create_future()
            await self._writable
        if self._transport.is_closing():
            raise ConnectionResetError("the client left")

    # what the server asks for

    def turn_away(self, response: Response) -> None:
        """There are too many: told before anything is asked, and not heard out, which would keep it."""
        self._transport.write(response.to_bytes(_CLOSE))
        self._close()

    def close_if_idle(self) -> None:
        """This process stops: nobody waits for an answer here."""
        if self._request is None and not self._is_deaf:
            self._close()

    def cut_if_over(self, now_s: float) -> None:
        """Nothing may have moved for too long."""
        if now_s >= self.patience.deadline_s and self.patience.is_over(now_s, self._transport.get_write_buffer_size()):
            self.abort()

    # one request after another

    def _take_next(self) -> None:
        if self._is_write_paused or self._transport.is_closing():
            return
        if self._waiting:
            self._request = request = self._waiting.pop(0)
            request.attach(self)
            self.patience.is_answering()
            self.task = self._loop.create_task(self._serve(request))
        elif self._parser.fault is not None:
            self._refuse()
        elif self._parser.is_within:
            self.patience.has_half_a_head(self._loop.time())

    async def _serve(self, request: Request) -> None:
        try:
            answer = await self._owner.handler(request)
            self._finish(request, answer)
        except ConnectionError:
            self._give_up()
        except asyncio.CancelledError:
            self._give_up()
            raise
        except Exception as error:
            self._fail(request, self._owner.failed(error))

    def _finish(self, request: Request, answer: Reply) -> None:
        if isinstance(answer, Response):
            request.keeps_alive = keeps = self._may_go_on(request)
            framing = _CLOSE if not keeps else b"" if request.version is HTTP_1_1 else _KEEP
            data = answer.to_bytes(framing, is_head=request.method == "HEAD")
            if not self._transport.is_closing():
                self._transport.write(data)
        elif not answer.is_finished:
            self._give_up()  # an answer that is cut must not look whole
            return
        self._go_on(request)

    def _give_up(self) -> None:
        self.task = self._request = self._stream = None
        self.abort()

    def _fail(self, request: Request, response: Response) -> None:
        if self._stream is not None:
            self._give_up()
            return
        request.keeps_alive = False
        self._finish(request, response)

    def _may_go_on(self, request: Request) -> bool:
        return request.keeps_alive and request.body.is_complete and not self._owner.is_draining

    def _go_on(self, request: Request) -> None:
        self.task = self._request = self._stream = None
        self._has_asked_for_body = False
        is_heard = request.body.is_complete
        if not request.keeps_alive or not is_heard or self._owner.is_draining:
            self._close(hears_out=not is_heard or self._parser.is_within or self._parser.fault is not None)
            return
        self.patience.is_idle(self._loop.time())
        if self._waiting or self._parser.fault is not None or self._parser.is_within:
            self._take_next()
        if self._is_read_paused or self._is_write_paused:
            self._balance()

    def _refuse(self) -> None:
        """What came is no HTTP: one answer to it, and the end."""
        if not self._parser.is_overrun:
            response = self._owner.bad_http(self._parser.fault or "")
            self._transport.write(response.to_bytes(_CLOSE))
        self._close(hears_out=True)

    # coming to rest

    def _close(self, *, hears_out: bool = False) -> None:
        """The last answer is written. `hears_out`: the client is still sending, and is heard until it ends."""
        self._is_deaf = True
        self._waiting.clear()
        self.patience.is_idle(self._loop.time())
        if self._transport.is_closing():
            return
        if not hears_out:
            self._transport.close()
            return
        self.patience.hears_out(self._loop.time())
        try:
            self._transport.write_eof()
        except OSError:  # the client has gone in this moment, and its going has not been told yet
            self.abort()
        self._balance()

    def _drop(self, length: int) -> None:
        self._dropped_bytes += length
        if self._dropped_bytes > _MAX_DROPPED_BYTES:
            self.abort()

    def _balance(self) -> None:
        """Read on as long as what comes is wanted."""
        is_enough = not self._is_deaf and (bool(self._waiting) or self._is_ahead_of_its_reader())
        if is_enough is self._is_read_paused or self._transport.is_closing():
            return
        self._is_read_paused = is_enough
        if is_enough:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()

    def _is_ahead_of_its_reader(self) -> bool:
        request = self._request
        if request is None:
            return self._is_write_paused
        return not (self._has_asked_for_body or request.body.is_over) and request.body.size_bytes > _UNASKED_BODY_BYTES
