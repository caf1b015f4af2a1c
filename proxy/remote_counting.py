"""The upstream's own way of counting, asked over its own pool: for what nobody reported."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from metering.estimate.likely import media_tokens, prompt_overhead, prompt_texts
from metering.kinds import Tokenize
from metering.tokenizers import remote
from metering.tokenizers.remote import Question
from proxy.routing import Route
from proxy.upstream.connection import ResponseHandle
from proxy.upstream.errors import UpstreamError
from proxy.upstream.pool import UpstreamRequest

# The token ids of the longest text that is asked about, as JSON.
_MAX_ANSWER_BYTES = 4 << 20
# A server that is busy generating may be slow to count; then length decides.
_TIMEOUT_S = 2.0


class UpstreamCounter:
    """Counts by asking the server of `route`; None wherever it does not know, or does not answer in time."""

    def __init__(self, route: Route, way: Tokenize) -> None:
        self._route = route
        self._way = way

    async def count_prompt(self, model: str, fields: Mapping[str, Any]) -> int | None:
        """A chat as the server renders it, where it can say; else its texts and frames."""
        question = remote.about_messages(self._way, {**fields, "model": self._route.name_of(model)})
        found = None if question is None else await self._count_chat(question, fields)
        if found is not None:
            return found
        found = await self.count_texts(model, prompt_texts(fields))
        return None if found is None else found + prompt_overhead(fields)

    async def count_texts(self, model: str, texts: Sequence[str]) -> int | None:
        joined = remote.joined(texts)
        return await self._ask(remote.about_text(self._way, self._route.name_of(model), joined)) if joined else 0

    async def _count_chat(self, question: Question, fields: Mapping[str, Any]) -> int | None:
        if not question.is_template:
            return await self._ask(question)
        written = await self._post(question)
        counting = None if written is None else remote.about_template(written)
        found = None if counting is None else await self._ask(counting)
        # of pictures a template has a mark each
        return None if found is None else found + media_tokens(fields)

    async def _ask(self, question: Question) -> int | None:
        answer = await self._post(question)
        return None if answer is None else remote.read(answer)

    async def _post(self, question: Question) -> bytes | None:
        headers = [(b"content-type", b"application/json"), *self._route.own_headers]
        sink = _Collector()
        request = UpstreamRequest("POST", question.path, headers, question.body, is_rooted=True)
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                sink.handle = await self._route.pool.send(request, sink)
                return await sink.whole
        except (UpstreamError, TimeoutError):
            sink.abort()
            return None


class _Collector:
    """Takes one small answer."""

    def __init__(self) -> None:
        self.whole: asyncio.Future[bytes | None] = asyncio.get_running_loop().create_future()
        self.handle: ResponseHandle | None = None
        self._is_good = False
        self._parts: list[bytes] = []
        self._size = 0

    def on_headers(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        self._is_good = status == 200

    def on_body(self, data: bytes) -> None:
        self._size += len(data)
        if self._size <= _MAX_ANSWER_BYTES:
            self._parts.append(data)
        else:
            self._is_good = False
            self.abort()

    def on_end(self, last: bytes = b"") -> None:
        self.on_body(last)
        self._answer(b"".join(self._parts) if self._is_good else None)

    def on_failure(self, error: UpstreamError) -> None:
        self._answer(None)

    def abort(self) -> None:
        if self.handle is not None:
            self.handle.abort()
        self._answer(None)

    def _answer(self, body: bytes | None) -> None:
        self.handle = None
        if not self.whole.done():
            self.whole.set_result(body)


def counter_of(route: Route) -> UpstreamCounter | None:
    """None: servers of this kind cannot be asked."""
    way = route.kind.tokenize
    return None if way is None else UpstreamCounter(route, way)
