"""The way to one LLM server: a few kept connections, and nothing that guesses.

`UpstreamPool.send` finds or opens a connection, writes the request and returns; the response comes to the sink. There
is no automatic retry, not even on a connection that turns out to be dead: once a byte was written, a POST may have been
generated and billed, and sending it again could charge the user twice. The error says `request_sent`, and the caller
decides.
"""

import asyncio
import ssl
from collections.abc import Awaitable, Callable

import structlog

from proxy.upstream.balance import Room
from proxy.upstream.connection import ResponseHandle, ResponseSink, UpstreamConnection
from proxy.upstream.dialing import Dialer
from proxy.upstream.errors import Phase, UpstreamBusy, UpstreamConnectError, UpstreamTimeout
from proxy.upstream.request import Origin, UpstreamRequest, encode_head, parse_origin
from proxy.upstream.turns import PoolLimits, PoolState

__all__ = ["Origin", "PoolLimits", "ResponseHandle", "ResponseSink", "UpstreamPool", "UpstreamRequest", "parse_origin"]

log = structlog.get_logger("farebox.upstream")

Connect = Callable[[Callable[[], UpstreamConnection], Origin, ssl.SSLContext | None], Awaitable[object]]

# Aborted transports report their end on the loop's next turn; this only guards against one that never does.
_CLOSE_WAIT_S = 1.0


class _Ticket:
    """A request's place in the queue, and what came of it."""

    __slots__ = ("connection", "granted", "wake")

    def __init__(self) -> None:
        self.granted = False
        self.connection: UpstreamConnection | None = None
        self.wake: asyncio.Future[None] | None = None

    def grant(self, connection: UpstreamConnection | None) -> None:
        self.granted = True
        self.connection = connection
        self.wake_up()

    def wake_up(self) -> None:
        # The future is done already if the waiting task was cancelled but has not run since: it gives the slot back.
        if self.wake is not None and not self.wake.done():
            self.wake.set_result(None)


class UpstreamPool:
    """Connections to one origin. Make it inside a running loop, and close it there."""

    def __init__(
        self,
        origin: Origin,
        limits: PoolLimits,
        *,
        tls: ssl.SSLContext | None = None,
        connect: Connect | None = None,
    ) -> None:
        """`tls` replaces the default context (the system's authorities) of an https origin, `connect` how it is
        reached.
        """
        self._origin = origin
        self._limits = limits
        self._tls = (tls or ssl.create_default_context()) if origin.scheme == "https" else None
        self._connect = connect or Dialer(limits.connect_s)
        self._loop = asyncio.get_running_loop()
        self._state: PoolState[_Ticket, UpstreamConnection] = PoolState(limits)
        self._connections: set[UpstreamConnection] = set()  # open ones, until their transport is gone
        self._sweeper: asyncio.TimerHandle | None = None
        self._gone = asyncio.Event()  # a connection less
        self._closed = False

    def __repr__(self) -> str:
        state = self._state
        return f"<UpstreamPool {self._origin} [{state.leased} active, {state.idle} idle, {state.waiting} waiting]>"

    @property
    def active(self) -> int:
        """Connections with a request on them, or being opened for one."""
        return self._state.leased

    @property
    def idle(self) -> int:
        """Connections kept for the next request."""
        return self._state.idle

    @property
    def waiting(self) -> int:
        """Requests that wait for a connection."""
        return self._state.waiting

    @property
    def busy(self) -> int:
        """Requests that have a connection or wait for one."""
        return self._state.leased + self._state.waiting

    @property
    def room(self) -> Room:
        """For one more request."""
        if self._state.has_room and not self._state.waiting:
            return Room.FREE
        return Room.QUEUE if self._state.has_place_in_queue else Room.NONE

    async def send(self, request: UpstreamRequest, sink: ResponseSink) -> ResponseHandle:
        """Write `request`; the response goes to `sink`. Await it directly: then no callback precedes the return.

        Raises UpstreamBusy, UpstreamTimeout (connect) or UpstreamConnectError, all before a byte was sent, and
        ValueError for a request that must never be written. Every later failure goes to `sink.on_failure`.
        """
        head = encode_head(request, self._origin)
        connection = await self._lease()
        return connection.begin(head, request.body, sink)

    def send_at_once(self, request: UpstreamRequest, sink: ResponseSink) -> ResponseHandle | None:
        """`send` where a connection is free, as one mostly is; None: nothing was done, and `send` will find one."""
        head = encode_head(request, self._origin)
        connection = None if self._closed else self._state.reuse(self._loop.time())
        if connection is None:
            return None
        if not connection.is_usable:
            self._state.retire()
            return None
        return connection.begin(head, request.body, sink)

    async def close(self) -> None:
        """Close every connection at once; requests in flight fail, waiting ones are refused. Drain before."""
        self._closed = True
        waiting, _ = self._state.empty()
        for ticket in waiting:
            ticket.wake_up()  # without a grant: refused
        for connection in list(self._connections):
            connection.shut_down()
        try:
            async with asyncio.timeout(_CLOSE_WAIT_S):
                while self._connections:
                    self._gone.clear()
                    await self._gone.wait()
        except TimeoutError:
            log.warning("upstream_connections_left", origin=str(self._origin), left=len(self._connections))
        if self._sweeper is not None:
            self._sweeper.cancel()

    # Slots: leased here or in `send_at_once`, given back in exactly one of those, `_open` and `exchange_over`.

    async def _lease(self) -> UpstreamConnection:
        if self._closed:
            raise UpstreamConnectError("the pool is closed")
        free = self._state.reuse(self._loop.time())
        if free is not None:
            return free if free.is_usable else await self._open()
        ticket = _Ticket()
        if not self._state.join(ticket):
            raise UpstreamBusy("every upstream connection is in use and the queue is full")
        self._advance()
        if not ticket.granted:
            await self._wait_for_turn(ticket)
        if ticket.connection is not None and ticket.connection.is_usable:
            return ticket.connection
        return await self._open()  # in the same slot, also where a connection broke between grant and wake-up

    async def _wait_for_turn(self, ticket: _Ticket) -> None:
        ticket.wake = self._loop.create_future()
        try:
            async with asyncio.timeout(self._limits.acquire_s):
                await ticket.wake
        except BaseException as error:
            self._give_up(ticket)
            if isinstance(error, TimeoutError):
                raise UpstreamBusy(f"no upstream connection became free in {self._limits.acquire_s:g} s") from None
            raise
        if not ticket.granted:
            raise UpstreamConnectError("the pool is closed")

    def _give_up(self, ticket: _Ticket) -> None:
        if not ticket.granted:
            self._state.leave(ticket)
        elif ticket.connection is not None and ticket.connection.is_usable:
            self._state.release(ticket.connection, self._loop.time())
        else:
            self._state.retire()
        self._advance()

    async def _open(self) -> UpstreamConnection:
        connection = UpstreamConnection(self, self._limits, self._loop.time)
        try:
            await self._connect_in_time(connection)
            if self._closed or not connection.is_usable:
                raise UpstreamConnectError("the upstream connection was closed as soon as it was open")
        except BaseException:
            connection.abort()
            self._state.retire()
            self._advance()
            raise
        self._connections.add(connection)
        if self._sweeper is None:
            self._sweeper = self._loop.call_later(self._limits.sweep_s, self._sweep)
        return connection

    async def _connect_in_time(self, connection: UpstreamConnection) -> None:
        try:
            async with asyncio.timeout(self._limits.connect_s):
                await self._connect(lambda: connection, self._origin, self._tls)
        except TimeoutError as error:
            raise UpstreamTimeout(Phase.CONNECT, self._limits.connect_s) from error
        except OSError as error:  # refused, unreachable, unknown host, TLS
            raise UpstreamConnectError(f"cannot connect to {self._origin}: {error}") from error

    def _advance(self) -> None:
        plan = self._state.assign(self._loop.time())
        for connection in plan.to_close:
            connection.abort()
        for grant in plan.grants:
            grant.ticket.grant(grant.connection)

    def _sweep(self) -> None:
        # The next sweep is set before anything can go wrong in this one; without connections there is none.
        sweep_s = self._limits.sweep_s
        self._sweeper = self._loop.call_later(sweep_s, self._sweep) if self._connections else None
        now_s = self._loop.time()
        for connection in list(self._connections):
            connection.enforce_deadline(now_s)
        self._advance()

    # What connections tell us.

    def exchange_over(self, connection: UpstreamConnection, reusable: bool) -> None:
        if reusable:
            self._state.release(connection, self._loop.time())
        else:
            self._state.retire()
        if self._state.waiting:
            self._advance()

    def unused_broken(self, connection: UpstreamConnection) -> None:
        self._state.lose(connection)

    def connection_lost(self, connection: UpstreamConnection) -> None:
        self._connections.discard(connection)
        self._gone.set()
