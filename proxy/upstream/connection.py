"""One raw HTTP/1.1 client connection: bytes in, one synchronous callback per read; requests out.

    data_received -> ResponseParser -> sink.on_body          no task, no queue, no copy but the parser's own

There is no future to await on the way of a chunk and no timer to re-arm: a read notes the loop's time, and the pool's
sweep compares. The request body goes out in slices as the server takes them, so a slow server makes us hold the body
once, not twice.
"""

import asyncio
from collections.abc import Callable
from typing import Protocol, cast

from proxy.upstream.errors import Phase, UpstreamClosed, UpstreamError, UpstreamProtocolError, UpstreamTimeout
from proxy.upstream.parser import ResponseParser
from proxy.upstream.turns import PoolLimits

# Handed to the transport at once, which keeps it as it is until the server takes it: uvloop copies nothing. As much as
# uvloop reads at once; whether a body moves is noticed with every slice.
UPLOAD_SLICE_BYTES = 256 << 10
# A stream at a model's speed brings a few KiB at once. So much comes from a server that is faster than we are.
_BIG_READ_BYTES = 65_536
_NOTHING = memoryview(b"")


class ResponseSink(Protocol):
    """Where a response goes. Every call is synchronous, must not raise, and may pause or abort the exchange."""

    def on_headers(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        """The final (not 1xx) status, once; names lower-cased. The list is the sink's to keep."""

    def on_body(self, data: bytes) -> None:
        """Body bytes without chunk framing; all that one read brought, joined."""

    def on_end(self, last: bytes = b"") -> None:
        """The message is complete, with the `last` bytes of its body. Nothing follows."""

    def on_failure(self, error: UpstreamError) -> None:
        """There will be no (more) response. Nothing follows. Exactly one of `on_end` and `on_failure` is called."""


class ConnectionOwner(Protocol):
    """What a connection tells its pool."""

    def exchange_over(self, connection: "UpstreamConnection", reusable: bool) -> None:
        """A request has ended, in whatever way; unless `reusable` the connection is closed already."""

    def unused_broken(self, connection: "UpstreamConnection") -> None:
        """The server closed a connection, or spoke unasked on it, while no request was on it."""

    def connection_lost(self, connection: "UpstreamConnection") -> None:
        """The transport is gone; the last call for this connection."""


class ResponseHandle:
    """The handle of one request in flight. After its end every method does nothing."""

    __slots__ = ("_connection", "sink")

    def __init__(self, connection: "UpstreamConnection", sink: ResponseSink) -> None:
        self._connection: UpstreamConnection | None = connection
        self.sink = sink

    def pause_reading(self) -> None:
        """The client is slow: read no more, so that TCP slows the server. What was read already still comes."""
        if self._connection is not None:
            self._connection.pause_reading()

    def resume_reading(self) -> None:
        if self._connection is not None:
            self._connection.resume_reading()

    def abort(self) -> None:
        """The client left: close the connection at once, so that the server stops generating. No callback follows."""
        if self._connection is not None:
            self._connection.end_exchange(reusable=False)

    def detach(self) -> None:
        self._connection = None


class UpstreamConnection(asyncio.Protocol):
    """One connection and at most one exchange on it. The pool begins exchanges; the server's bytes end them."""

    def __init__(self, owner: ConnectionOwner, limits: PoolLimits, now_s: Callable[[], float]) -> None:
        self._owner = owner
        self._limits = limits
        self._now_s = now_s
        self._transport: asyncio.Transport | None = None
        self._exchange: ResponseHandle | None = None
        self._parser = ResponseParser(limits.max_header_bytes)
        self._headers_delivered = False
        self._unsent = _NOTHING
        self._write_paused = False
        self._read_paused = False
        self._progress_at_s = 0.0
        self._expires_at_s = 0.0

    @property
    def is_usable(self) -> bool:
        """Open, and nobody's."""
        return self._exchange is None and self._transport is not None and not self._transport.is_closing()

    # What the pool and the exchange ask for.

    def begin(self, head: bytes, body: bytes, sink: ResponseSink) -> ResponseHandle:
        """Write a request; its response, or its failure, goes to `sink`, never before this call has returned."""
        assert self.is_usable and self._transport is not None
        exchange = self._exchange = ResponseHandle(self, sink)
        self._parser.reset()
        self._headers_delivered = False
        self._progress_at_s = self._now_s()
        if len(body) <= UPLOAD_SLICE_BYTES:
            self._transport.writelines((head, body))
        else:
            self._unsent = memoryview(body)
            self._transport.write(head)
            self._write_slices()
        return exchange

    def end_exchange(self, *, reusable: bool) -> None:
        """Let go of the exchange without a word to its sink; closes the connection unless it is `reusable`."""
        exchange, self._exchange = self._exchange, None
        assert exchange is not None
        exchange.detach()
        self._unsent = _NOTHING
        if reusable:
            self.resume_reading()
        else:
            self.abort()
        self._owner.exchange_over(self, reusable)

    def fail(self, error: UpstreamError) -> None:
        """End the exchange, if there is one, with `error`, and close."""
        exchange = self._exchange
        if exchange is None:
            self.abort()
            return
        self.end_exchange(reusable=False)
        exchange.sink.on_failure(error)

    def shut_down(self) -> None:
        """Close because we stop; an exchange in flight fails."""
        self.fail(UpstreamClosed("the pool was closed", headers_received=self._headers_delivered))

    def abort(self) -> None:
        """Close now, dropping what is not written yet. A graceful close could wait for a peer that reads nothing."""
        if self._transport is not None:
            self._transport.abort()

    def pause_reading(self) -> None:
        if self._transport is not None and not self._read_paused:
            self._read_paused = True
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        if self._transport is not None and self._read_paused:
            self._read_paused = False
            self._progress_at_s = self._now_s()
            self._transport.resume_reading()

    def enforce_deadline(self, now_s: float) -> None:
        """Fail an exchange in which nothing moved for too long; the time in which we ourselves pause does not count."""
        if self._exchange is None or self._read_paused:
            return
        phase, limit_s = self._waiting_for()
        if now_s - self._progress_at_s >= limit_s:
            self.fail(UpstreamTimeout(phase, limit_s))

    def _waiting_for(self) -> tuple[Phase, float]:
        if self._headers_delivered:
            return Phase.IDLE, self._limits.idle_s
        if self._unsent:
            return Phase.WRITE, self._limits.idle_s
        return Phase.FIRST_BYTE, self._limits.first_byte_s

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's does not inherit from asyncio's
        self._expires_at_s = self._now_s() + self._limits.max_age_s

    def data_received(self, data: bytes) -> None:
        exchange = self._exchange
        if exchange is None:
            self._owner.unused_broken(self)
            self.abort()
            return
        parser = self._parser
        parser.feed(data)
        if parser.head_complete:
            self._progress_at_s = self._now_s()
            if not self._headers_delivered:
                self._headers_delivered = True
                exchange.sink.on_headers(parser.status, parser.headers)
        if parser.parts and not parser.complete and self._exchange is exchange:
            exchange.sink.on_body(parser.take_body())
        if (parser.complete or parser.fault is not None) and self._exchange is exchange:
            self._finish(exchange)
        if len(data) >= _BIG_READ_BYTES:
            self._let_others_go_first()

    def _let_others_go_first(self) -> None:
        """uvloop reads from one socket up to 32 times before it looks at another: timers and Redis would wait."""
        if self._transport is not None and not self._read_paused and not self._transport.is_closing():
            self._transport.pause_reading()
            asyncio.get_running_loop().call_soon(self._read_on)

    def _read_on(self) -> None:
        if self._transport is not None and not self._read_paused and not self._transport.is_closing():
            self._transport.resume_reading()

    def eof_received(self) -> None:
        self._input_over(None)

    def connection_lost(self, exc: Exception | None) -> None:
        self._input_over(exc)
        self._owner.connection_lost(self)

    def pause_writing(self) -> None:
        self._write_paused = True

    def resume_writing(self) -> None:
        self._write_paused = False
        self._write_slices()

    def _write_slices(self) -> None:
        assert self._transport is not None
        while self._unsent and not self._write_paused:
            piece, self._unsent = self._unsent[:UPLOAD_SLICE_BYTES], self._unsent[UPLOAD_SLICE_BYTES:]
            self._transport.write(piece)
            self._progress_at_s = self._now_s()

    def _finish(self, exchange: ResponseHandle) -> None:
        parser = self._parser
        if not parser.complete:
            self.fail(UpstreamProtocolError(parser.fault or "the upstream's response is not valid HTTP"))
            return
        is_young = self._progress_at_s < self._expires_at_s
        last = parser.take_body()  # before the connection is somebody else's
        self.end_exchange(reusable=is_young and parser.reusable and self._all_written())
        exchange.sink.on_end(last)

    def _all_written(self) -> bool:
        # An answer that came before the whole request was taken leaves half a request in the pipe.
        assert self._transport is not None
        return not (self._unsent or self._transport.is_closing() or self._transport.get_write_buffer_size())

    def _input_over(self, error: Exception | None) -> None:
        exchange = self._exchange
        if exchange is None:
            self._owner.unused_broken(self)
        elif error is None and self._parser.ends_at_eof:
            self.end_exchange(reusable=False)
            exchange.sink.on_end()
        else:
            self.fail(self._closed(error))

    def _closed(self, error: Exception | None) -> UpstreamClosed:
        moment = "in the middle of the response" if self._headers_delivered else "before a response"
        how = f" ({type(error).__name__})" if error is not None else ""
        return UpstreamClosed(
            f"the upstream closed the connection {moment}{how}", headers_received=self._headers_delivered
        )
