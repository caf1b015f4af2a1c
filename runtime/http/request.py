"""A request as its handler sees it."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import lru_cache
from typing import Protocol, overload
from urllib.parse import parse_qsl

from runtime.http.body import RequestBody
from runtime.http.encoding import is_packed, unpack
from runtime.http.response import HeaderList, Response
from runtime.http.stream import AnswerStream

RawHeaders = list[tuple[bytes, bytes]]
HTTP_1_0, HTTP_1_1 = (1, 0), (1, 1)
# Nearly all requests go to a few targets, whose paths are remembered: so many, none longer than this.
_KNOWN_TARGETS = 256
_MAX_KNOWN_TARGET_BYTES = 128
# Unpacking so much takes less than the change to another thread.
_UNPACKED_HERE_BYTES = 64 << 10


class Headers:
    """Header fields; `raw` has them all, as they came, names in lower case."""

    __slots__ = ("_first", "raw")

    def __init__(self, raw: RawHeaders) -> None:
        self.raw = raw
        self._first = dict(reversed(raw))

    @property
    def has_twins(self) -> bool:
        """Is there a name that comes more than once?"""
        return len(self._first) < len(self.raw)

    @overload
    def get(self, name: str) -> str | None: ...
    @overload
    def get(self, name: str, default: str) -> str: ...

    def get(self, name: str, default: str | None = None) -> str | None:
        """The value of `name`, in whatever case; of several the first. Bytes that are no text become surrogates."""
        value = self._first.get(name.lower().encode())
        return default if value is None else value.decode("utf-8", "surrogateescape")

    def get_raw(self, name: bytes) -> bytes | None:
        """The same of a name in lower case."""
        return self._first.get(name)


class Channel(Protocol):
    """What a request needs of the connection that it came on."""

    @property
    def remote(self) -> str | None: ...
    def want_body(self) -> None: ...
    def begin(self, status: int, headers: HeaderList, first: bytes = b"") -> AnswerStream: ...
    def abort(self, *, with_reset: bool = False) -> None: ...


class Request:
    """Head and body of one request; made by the parser, and given its channel when its turn has come."""

    __slots__ = ("_channel", "_target", "body", "headers", "keeps_alive", "method", "path", "version")

    def __init__(
        self,
        method: str,
        target: bytes,
        headers: Headers,
        body: RequestBody,
        *,
        version: tuple[int, int] = HTTP_1_1,
        keeps_alive: bool = True,
    ) -> None:
        self.method = method
        self.version = version
        self.headers = headers
        self.body = body
        self.keeps_alive = keeps_alive
        self._target = target
        self.path = path_of(target)
        self._channel: Channel | None = None

    def attach(self, channel: Channel) -> None:
        self._channel = channel

    @property
    def raw_headers(self) -> RawHeaders:
        """All header fields as they came, names in lower case."""
        return self.headers.raw

    @property
    def content_length(self) -> int | None:
        """How long the body is, where that is said."""
        length = self.headers.get_raw(b"content-length")
        return None if length is None else int(length)

    @property
    def query(self) -> Sequence[tuple[str, str]]:
        """Name and value of each parameter, decoded, in order."""
        text = self._target.partition(b"#")[0].partition(b"?")[2].decode("latin-1")
        return parse_qsl(text, keep_blank_values=True)

    @property
    def content_type(self) -> str:
        """Without parameters, in lower case; what is not said is `application/octet-stream`."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower() or "application/octet-stream"

    @property
    def expects_continue(self) -> bool:
        """Does the client wait for a word of ours before it sends the body?"""
        expected = self.headers.get_raw(b"expect")
        return expected is not None and expected.lower() == b"100-continue" and self.version >= HTTP_1_1

    @property
    def remote(self) -> str | None:
        """Who is connected: the address, without a port."""
        return self.channel.remote

    async def read(self) -> bytes:
        """The whole body, unpacked; raises BodyTooLarge or BodyBroken."""
        body = self.body
        if not body.is_over:
            self.channel.want_body()
            await body.wait()
        raw = body.take()
        if self.headers.get_raw(b"content-encoding") is None:
            return raw
        coding = self.headers.get("content-encoding", "")
        if not is_packed(coding) or not raw:
            return raw
        if len(raw) <= _UNPACKED_HERE_BYTES:
            return unpack(raw, coding, self.body.max_bytes)
        return await asyncio.to_thread(unpack, raw, coding, self.body.max_bytes)

    def begin(self, status: int, headers: HeaderList, first: bytes = b"") -> AnswerStream:
        """Send status and headers of an answer whose length is not known; the handler returns the stream in the end.

        `first`: what is there of its body. Not for HEAD, which is answered by a Response. Raises ConnectionResetError
        if the client has left.
        """
        return self.channel.begin(status, headers, first)

    def abort(self, *, with_reset: bool = False) -> None:
        """Cut the connection. `with_reset`: also to a client of HTTP/1.0 it must not look like a proper end."""
        self.channel.abort(with_reset=with_reset)

    @property
    def channel(self) -> Channel:
        """The connection that it came on."""
        assert self._channel is not None, "the request's turn has not come"
        return self._channel


Reply = Response | AnswerStream
Handler = Callable[[Request], Awaitable[Reply]]


def path_of(target: bytes) -> str:
    """The path of a request target, which may be a whole URL (RFC 9112, section 3.2.2), as it stands there.

    Not decoded: whoever stands in front and keeps a path to himself must not read another one than we do.
    """
    return _known_path(target) if len(target) <= _MAX_KNOWN_TARGET_BYTES else _path_of(target)


def _path_of(target: bytes) -> str:
    path = target.partition(b"?")[0].partition(b"#")[0]
    if not path.startswith(b"/"):
        _, is_url, rest = path.partition(b"://")
        if is_url:
            _, slash, rest = rest.partition(b"/")
            path = slash + rest or b"/"
    return path.decode("latin-1")


_known_path = lru_cache(_KNOWN_TARGETS)(_path_of)
