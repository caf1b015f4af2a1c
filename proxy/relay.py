"""The body pump: upstream bytes -> tap -> client, in the upstream's own callback.

An answer starts out collected: headers, and of a body that is not a stream up to `COLLECT_BYTES`. What the
exchange must know (the answer can begin, the client is slow, it is over) wakes the gateway's handler as a `Signal`;
an ordinary chunk wakes nobody.
"""

import asyncio
import sys
from collections.abc import Callable
from enum import Enum, auto

from metering.answer_tap import AnswerTap
from metering.framing import Framing, framing_of
from metering.tap import Tap
from proxy.upstream.connection import ResponseHandle
from proxy.upstream.errors import UpstreamError, UpstreamProtocolError
from runtime.clock import monotonic_ns
from runtime.http.stream import AnswerStream
from runtime.tasks import running_loop

# Answers up to this size are complete before they are begun, and can carry their cost in a header.
COLLECT_BYTES = 1 << 20
_NEVER = sys.maxsize
_BLANK_LINES = (b"\n\n", b"\r\n\r\n", b"\r\r")
# The content type of an answer, and its framing if it is a stream of events -> what reads along.
MakeTap = Callable[[bytes, Framing | None], Tap]


class Signal(Enum):
    BEGIN = auto()  # a good answer that is to flow: a stream's headers or first byte, or a body beyond COLLECT_BYTES
    CONGESTED = auto()  # the client is slow; the upstream has been paused
    END = auto()
    FAILED = auto()  # see `error`
    SPENT = auto()  # cut, for nothing more can be paid


class Relay:
    """The sink of one response. Callbacks come from the upstream connection; `next_signal` is the handler's side."""

    def __init__(self, make_tap: MakeTap, *, begins_late: bool = False) -> None:
        """`begins_late`: with the first byte, not with the headers; until then another upstream can take over."""
        self._make_tap = make_tap
        self._begins_late = begins_late
        self._begins_with_body = False
        self._client: AnswerStream | None = None
        self._collected: list[bytes] = []
        self._collected_bytes = 0
        self._signals: list[Signal] = []
        self._wake: asyncio.Future[None] | None = None
        self._has_asked_to_begin = False
        self._is_paused = False
        self._last = b""
        self._is_deaf = False
        self._look: Callable[[], None] = _look_at_nothing
        self.look_at_bytes = _NEVER
        self.passed_bytes = 0
        self.first_ns = 0  # when the first of the body came, by the monotonic clock
        self.tail = b""  # what came with the end, once that has been signalled: goes to the client with its end
        self.has_begun = False
        self.upstream: ResponseHandle | None = None
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self.tap: Tap = AnswerTap()
        self.error: UpstreamError | None = None
        self.framing: Framing | None = None

    # the upstream's side

    def on_headers(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        self.status = status
        self.headers = headers
        if not self.is_good:
            return
        content_type = next((value for name, value in headers if name == b"content-type"), b"")
        self.framing = framing_of(content_type)
        self.tap = self._make_tap(content_type, self.framing)
        if self.is_stream or _is_sound_as_it_comes(content_type, headers):
            self._begins_with_body = self._begins_late
            if not self._begins_late:
                self._ask_to_begin()

    def on_body(self, data: bytes) -> None:
        out = self._metered(data)
        client = self._client
        if client is not None:
            client.write(out)
            self._last = out or self._last
            if client.is_congested and not self._is_paused:
                self._pause()
        elif not self._is_deaf:
            self._collect(out)
        if self.passed_bytes >= self.look_at_bytes:
            self._look()

    def on_end(self, last: bytes = b"") -> None:
        out = (self._metered(last) if last else b"") + self.tap.finish()
        if self._client is not None:
            self.tail = out
        elif not self._is_deaf:
            self._collect(out)
        self._part()
        if self.error is None:
            self._signal(Signal.END)

    def on_failure(self, error: UpstreamError) -> None:
        self.error = error
        self._part()
        # what a broken stream left unfinished stays unsent: half an event is no event
        self.tap.finish()
        self._signal(Signal.FAILED)

    def _metered(self, data: bytes) -> bytes:
        """What of it is the client's."""
        if not self.passed_bytes:
            self.first_ns = monotonic_ns()
        self.passed_bytes += len(data)
        return self.tap.feed(data)

    # the handler's side

    @property
    def is_good(self) -> bool:
        return 200 <= self.status < 300

    @property
    def is_owed(self) -> bool:
        """Is what comes delivered, or read to be billed?"""
        return self.has_begun or self._is_deaf

    @property
    def is_stream(self) -> bool:
        """Is it a good answer, in events?"""
        return self.framing is not None

    @property
    def is_between_events(self) -> bool:
        """Did what went to the client end with a whole event?"""
        ends = _BLANK_LINES if self.framing is None or self.framing.line_ends else (b"\n",)
        return not self._last or self._last.endswith(ends)

    @property
    def body(self) -> bytes:
        """What was collected of an answer that was not begun."""
        return b"".join(self._collected)

    async def next_signal(self) -> Signal:
        while not self._signals:
            self._wake = running_loop().create_future()
            await self._wake
        return self._signals.pop(0)

    def take(self) -> bytes:
        """What was collected, to begin the answer with; `attach` comes next."""
        self._last = self.body
        self._collected.clear()
        return self._last

    def attach(self, client: AnswerStream) -> None:
        """From here on bytes go to the client; what was collected has gone."""
        self._client = client
        self.has_begun = True
        if client.is_congested:
            self._pause()
        elif self._is_paused:
            self.resume()

    def watch(self, look: Callable[[], None], look_at_bytes: int) -> None:
        """`look` is called when so many bytes have passed; it says when the next time is."""
        self._look, self.look_at_bytes = look, look_at_bytes

    def cut(self) -> None:
        """Not a byte more."""
        if self.upstream is not None:
            self.abort()
            self._signal(Signal.SPENT)

    def resume(self) -> None:
        """The client has read on."""
        self._is_paused = False
        if self.upstream is not None:
            self.upstream.resume_reading()

    def read_on(self) -> None:
        """The client is gone, and what comes is read for its usage alone."""
        self._client, self._is_deaf = None, True
        self._collected.clear()
        self.resume()

    def abort(self) -> None:
        """The client left: let the upstream know at once."""
        if self.upstream is not None:
            self.upstream.abort()
        self._part()
        self.tap.finish()  # reads what it has: what was delivered is owed

    def _part(self) -> None:
        """They know us, we know them: left alone, each request would be garbage to be searched for."""
        self.upstream, self._look = None, _look_at_nothing

    def _collect(self, data: bytes) -> None:
        self._collected.append(data)
        self._collected_bytes += len(data)
        if self._begins_with_body and data:
            self._ask_to_begin()
        if self._collected_bytes <= COLLECT_BYTES:
            return
        if self.is_good:
            self._ask_to_begin()
            self.hold()
        else:
            self.abort()
            self.on_failure(UpstreamProtocolError(f"an error answer of more than {COLLECT_BYTES} bytes"))

    def _ask_to_begin(self) -> None:
        if not self._has_asked_to_begin:
            self._has_asked_to_begin = True
            self._signal(Signal.BEGIN)

    def _pause(self) -> None:
        self.hold()
        self._signal(Signal.CONGESTED)

    def hold(self) -> None:
        """The upstream waits until `resume`."""
        if self.upstream is not None and not self._is_paused:
            self._is_paused = True
            self.upstream.pause_reading()

    def _signal(self, signal: Signal) -> None:
        self._signals.append(signal)
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)


def _look_at_nothing() -> None:
    """An answer that nobody watches."""


def _is_sound_as_it_comes(content_type: bytes, headers: list[tuple[bytes, bytes]]) -> bool:
    """Speech of unknown length is being made while it is sent, and listened to."""
    return content_type.startswith(b"audio/") and all(name != b"content-length" for name, _ in headers)


def _no_tap(_: bytes, __: Framing | None) -> Tap:
    raise AssertionError("nothing was sent, so nothing answers")


# Of all calls that have not asked an upstream yet. It has none, and nothing changes it.
NOTHING_SENT = Relay(_no_tap)
