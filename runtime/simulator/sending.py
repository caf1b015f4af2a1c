"""Plays a script to one client: at its pace, no faster than the client reads, in the writes that were ordered.

No task: one timer per paced answer, one call per turn of the loop for the others. What waits to be sent is bounded
by one turn's blocks and the transport's write buffer, whatever the client does.
"""

import asyncio
import socket
import struct
from collections.abc import Callable
from typing import Protocol

from runtime.simulator.script import Script

# A cut comes after what was written has left; a client that reads nothing is cut after a second all the same.
CUT_POLL_S = 0.001
CUT_POLLS = 1_000
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER on, 0 s: close sends RST


def _nothing() -> None:
    pass


class Outlet:
    """Writes to a transport; with `split_bytes`, in writes of that size, each in a turn of the loop of its own."""

    def __init__(self, loop: asyncio.AbstractEventLoop, transport: asyncio.Transport, split_bytes: int) -> None:
        self._loop = loop
        self._transport = transport
        self.split_bytes = split_bytes
        self._rest = memoryview(b"")
        self._paused = False
        self.on_ready: Callable[[], None] = _nothing

    @property
    def ready(self) -> bool:
        """Whether more may be written; if not, `on_ready` is called once it may."""
        return not self._paused and not self._rest

    @property
    def splitting(self) -> bool:
        return bool(self._rest)

    def write(self, data: bytes) -> None:
        """Only while ready, or first of all."""
        if self.split_bytes and data:
            self._rest = memoryview(data)
            self._write_next()
        elif data:
            self._transport.write(data)

    def _write_next(self) -> None:
        if self._paused or not self._rest or self._transport.is_closing():
            return
        part, self._rest = self._rest[: self.split_bytes], self._rest[self.split_bytes :]
        self._transport.write(bytes(part))
        self._loop.call_soon(self._write_next if self._rest else self._tell)

    def _tell(self) -> None:
        if self.ready:
            self.on_ready()

    def pause(self) -> None:
        self._paused = True

    def resume(self) -> None:
        self._paused = False
        if self._rest:
            self._write_next()
        else:
            self._tell()


class Listener(Protocol):
    """Who is told how the playing goes."""

    def sent(self, tokens: int) -> None: ...
    def ended(self, script: Script) -> None: ...


class Playing:
    """One script on its way out. Ends by `listener.ended`, or by `stop` when the client has left."""

    def __init__(self, loop: asyncio.AbstractEventLoop, outlet: Outlet, script: Script, listener: Listener) -> None:
        self._loop = loop
        self._outlet = outlet
        self._script = script
        self._listener = listener
        self._position = 0
        self._per_turn = 1 if outlet.split_bytes else script.source.per_turn
        self._head = script.head
        self._begin_s = loop.time() + script.first_delay_ms / 1_000
        self._step_s = script.step_ms / 1_000
        self._next: asyncio.Handle | None = None
        self._over = False
        outlet.on_ready = self._proceed

    def start(self) -> None:
        if not self._script.first_delay_ms:
            self._tick()
            return
        if self._head:
            head, self._head = self._head, b""
            self._outlet.write(head)
        self._wait()

    def stop(self) -> None:
        self._over = True
        self._outlet.on_ready = _nothing  # no cycle for the garbage collector
        if self._next is not None:
            self._next.cancel()

    def _due(self) -> int:
        """How many events the schedule has let out by now."""
        late_s = self._loop.time() - self._begin_s
        if late_s < 0:
            return 0
        if not self._step_s:
            return self._script.stop_at
        due = int(late_s / self._step_s) + 1
        return due if due < self._script.source.words_end else self._script.stop_at

    def _proceed(self) -> None:
        """The client reads again, or a split write is through: send what is due, or wait for it."""
        if self._over or not self._outlet.ready:
            return
        if (due := self._due()) > self._position:
            self._send(due)
        else:
            self._wait()

    def _wait(self) -> None:
        """Until the next event is due; events have their times from the start on, so lateness does not add up."""
        if self._next is not None:
            self._next.cancel()
        self._next = self._loop.call_at(self._begin_s + self._position * self._step_s, self._tick)

    def _tick(self) -> None:
        """The next event is due by the timer, though the clock may disagree by a rounded millisecond."""
        if not self._over and self._outlet.ready:
            self._send(max(self._due(), self._position + 1))

    def _send(self, due: int) -> None:
        script, start = self._script, self._position
        stop = min(due, script.stop_at, start + self._per_turn)
        data = script.source.block(start, stop)
        if self._head:
            data, self._head = self._head + data, b""
        self._position = stop
        if last := stop == script.stop_at:
            data += script.tail
        self._listener.sent(script.source.tokens_before(stop))
        self._outlet.write(data)
        if last:
            self._finish()
        elif self._outlet.ready:
            self._again()

    def _again(self) -> None:
        if self._step_s:
            self._wait()
            return
        if self._next is not None:
            self._next.cancel()
        self._next = self._loop.call_soon(self._proceed)

    def _finish(self) -> None:
        """At the very end, once split writes are through as well."""
        if self._outlet.splitting:
            self._outlet.on_ready = self._finish
        elif not self._over:
            self.stop()
            self._listener.ended(self._script)


def reset(loop: asyncio.AbstractEventLoop, transport: asyncio.Transport, polls: int = CUT_POLLS) -> None:
    """Ends the connection with a TCP reset as soon as what was written has left."""
    if transport.is_closing():
        return
    if polls and transport.get_write_buffer_size():
        loop.call_later(CUT_POLL_S, reset, loop, transport, polls - 1)
        return
    connection = transport.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    transport.abort()
