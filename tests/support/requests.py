"""A request as a handler is given it, without a connection."""

from runtime.http.body import RequestBody
from runtime.http.request import Headers, Request
from runtime.http.response import HeaderList
from runtime.http.stream import AnswerStream


def headers_of(fields: dict[str, str]) -> Headers:
    return Headers([(name.lower().encode(), value.encode()) for name, value in fields.items()])


class NoChannel:
    """A client that is there and is told nothing."""

    def __init__(self, remote: str | None = None) -> None:
        self.remote = remote
        self.was_aborted = False

    def want_body(self) -> None:
        raise AssertionError("the body is there")

    def begin(self, status: int, headers: HeaderList, first: bytes = b"") -> AnswerStream:
        raise AssertionError("nothing can be begun here")

    def abort(self, *, with_reset: bool = False) -> None:
        self.was_aborted = True


def made_request(
    method: str = "GET",
    target: str = "/",
    headers: dict[str, str] | None = None,
    body: bytes = b"",
    remote: str | None = None,
) -> Request:
    """Whole, body and all."""
    collected = RequestBody(max_bytes=1 << 20)
    if body:
        collected.add(body)
    collected.end()
    request = Request(method, target.encode(), headers_of(headers or {}), collected)
    request.attach(NoChannel(remote))
    return request
