"""A small, fast LLM server that keeps books: what a benchmark's requests are answered by.

python -m benchmarks.upstream PORT

POST answers 20 tokens at once, or with "stream": true as many chunks as `max_tokens` says, each one token, `seed`
microseconds apart: fields that every gateway passes on. GET tells the books as JSON: requests begun, tokens emitted.
"""

import asyncio
import gc
import json
import sys
from typing import cast

import httptools
import uvloop

TOKENS = 20
_WHOLE = {
    "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "tiny",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "word " * 40}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 7, "completion_tokens": TOKENS, "total_tokens": 7 + TOKENS},
}  # fmt: skip
_EVENT = {
    "id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "tiny",
    "choices": [{"index": 0, "delta": {"content": "word "}, "finish_reason": None}],
}  # fmt: skip
_STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


def whole(body: bytes) -> bytes:
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
    return head % len(body) + body


def event(data: bytes) -> bytes:
    framed = b"data: " + data + b"\n\n"
    return b"%x\r\n%s\r\n" % (len(framed), framed)


ANSWER = whole(json.dumps(_WHOLE).encode())
CHUNK = event(json.dumps(_EVENT).encode())


def last_event(tokens: int) -> bytes:
    usage = {"prompt_tokens": 7, "completion_tokens": tokens, "total_tokens": 7 + tokens}
    return event(json.dumps(_EVENT | {"choices": [], "usage": usage}).encode()) + event(b"[DONE]") + b"0\r\n\r\n"


class Books:
    requests = 0
    tokens = 0


class Connection(asyncio.Protocol):
    transport: asyncio.Transport

    def __init__(self, books: Books) -> None:
        self.books = books
        self.loop = asyncio.get_running_loop()
        self.parser = httptools.HttpRequestParser(self)
        self.body: list[bytes] = []
        self.timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is none by its type

    def data_received(self, data: bytes) -> None:
        self.parser.feed_data(data)

    def connection_lost(self, _: Exception | None) -> None:
        if self.timer:
            self.timer.cancel()
        # They know each other, and nobody collects cycles here: those of a whole benchmark were 6 GB.
        del self.parser, self.timer
        self.body.clear()

    def on_message_begin(self) -> None:
        self.body = []

    def on_body(self, data: bytes) -> None:
        self.body.append(data)

    def on_message_complete(self) -> None:
        if self.parser.get_method() == b"GET":
            told = {"requests": self.books.requests, "tokens": self.books.tokens}
            return self.transport.write(whole(json.dumps(told).encode()))
        self.books.requests += 1
        body = b"".join(self.body)
        if b'"stream"' in body and (asked := json.loads(body))["stream"]:
            return self._stream(asked)
        self.books.tokens += TOKENS
        return self.transport.write(ANSWER)

    def _stream(self, asked: dict[str, object]) -> None:
        chunks, gap_s = int(str(asked["max_tokens"])), int(str(asked["seed"])) / 1_000_000
        self.transport.write(_STREAM_HEAD + CHUNK)
        self.books.tokens += 1
        self._next(1, chunks, self.loop.time(), gap_s)

    def _next(self, sent: int, chunks: int, start: float, gap_s: float) -> None:
        if sent == chunks:
            self.transport.write(last_event(chunks))
            return
        due = start + sent * gap_s
        self.timer = self.loop.call_at(due, self._send, sent, chunks, start, gap_s)

    def _send(self, sent: int, chunks: int, start: float, gap_s: float) -> None:
        self.transport.write(CHUNK)
        self.books.tokens += 1
        self._next(sent + 1, chunks, start, gap_s)


async def main(port: int) -> None:
    books = Books()
    server = await asyncio.get_running_loop().create_server(lambda: Connection(books), "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    gc.disable()  # its pauses would be measured as the server's
    uvloop.run(main(int(sys.argv[1])))
