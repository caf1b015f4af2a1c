"""Which web pages may call from a browser: none, unless their origin is listed (`listen.cors_origins`).

A browser asks first (a preflight, OPTIONS) and shows a page only answers that name its origin (the Fetch standard,
"CORS protocol"). Nothing of this keeps anybody else from calling: that is what keys and tokens are for. Cookies are not
allowed along: there are none here.
"""

import re
from collections.abc import Sequence

from runtime.http.request import Channel, Handler, Reply, Request
from runtime.http.response import HeaderList, Response
from runtime.http.stream import AnswerStream

_METHODS = "GET, POST, PUT, PATCH, DELETE"
# What a script may read of an answer, beside the few headers that it always may.
_EXPOSED = ", ".join(
    [
        *("x-request-id", "x-farebox-cost", "x-farebox-max-tokens", "x-should-retry", "retry-after", "retry-after-ms"),
        *(f"x-ratelimit-{what}-{of}" for of in ("requests", "tokens") for what in ("limit", "remaining", "reset")),
    ]
)
# For so long a browser need not ask again; Chromium takes no more than two hours.
_PREFLIGHT_GOOD_FOR_S = 600
_NAMES = re.compile(r"[A-Za-z0-9-]+( *, *[A-Za-z0-9-]+)*")
_MAX_NAMES_CHARS = 1000


def with_cors(handler: Handler, origins: Sequence[str]) -> Handler:
    """The same handler for pages of these origins too; `*`: of all. Without origins it is the handler itself."""
    if not origins:
        return handler

    async def handle(request: Request) -> Reply:
        origin = request.headers.get("origin")
        if origin is None or not (origin in origins or "*" in origins):
            return await handler(request)
        headers = [("access-control-allow-origin", "*" if "*" in origins else origin), ("vary", "origin")]
        wanted = request.headers.get("access-control-request-method")
        if request.method == "OPTIONS" and wanted is not None:
            return Response(204, headers + _preflight(request))
        headers.append(("access-control-expose-headers", _EXPOSED))
        request.attach(_Through(request.channel, headers))
        reply = await handler(request)
        return Response(reply.status, reply.headers + headers, reply.body) if isinstance(reply, Response) else reply

    return handle


def _preflight(request: Request) -> HeaderList:
    said = [("access-control-allow-methods", _METHODS), ("access-control-max-age", str(_PREFLIGHT_GOOD_FOR_S))]
    names = request.headers.get("access-control-request-headers", "")
    if len(names) <= _MAX_NAMES_CHARS and _NAMES.fullmatch(names):
        said.append(("access-control-allow-headers", names))
    return said


class _Through:
    """The request's channel, for an answer that begins with a few headers more."""

    def __init__(self, channel: Channel, headers: HeaderList) -> None:
        self._channel = channel
        self._headers = headers

    @property
    def remote(self) -> str | None:
        return self._channel.remote

    def want_body(self) -> None:
        self._channel.want_body()

    def begin(self, status: int, headers: HeaderList, first: bytes = b"") -> AnswerStream:
        return self._channel.begin(status, headers + self._headers, first)

    def abort(self, *, with_reset: bool = False) -> None:
        self._channel.abort(with_reset=with_reset)
