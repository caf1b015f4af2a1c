"""One client's connection: requests in, answers out."""

import asyncio
from typing import cast

from runtime.clock import wall_ms
from runtime.simulator import responses, routes
from runtime.simulator.chat import ChatAnswer
from runtime.simulator.errors import Refused
from runtime.simulator.reading import Request, RequestReader
from runtime.simulator.script import Ending, Script, write_script
from runtime.simulator.sending import Outlet, Playing, reset
from runtime.simulator.shared import Shared
from runtime.simulator.totals import Record, State

# After a refusal in the middle of a body the client is heard out for a while, or the reset that closing with
# unread bytes causes would overtake the answer.
LINGER_S = 2


class Connection(asyncio.Protocol):
    """Reads requests one at a time and plays each answer before it takes the next."""

    _transport: asyncio.Transport

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._reader = RequestReader()
        self._paused = False
        self._deaf = False  # no further request is taken: the connection is ending, or stalled
        self._stalled = False
        self._outlet: Outlet | None = None
        self._playing: Playing | None = None
        self._record: Record | None = None
        self._heard = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one without inheriting from it
        self._shared.joined(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._shared.left(self)
        self._deaf = True
        if self._playing is not None and self._record is not None:
            self._playing.stop()
            self._playing = None
            self._shared.books.close(self._record, State.CLIENT_LEFT)

    def eof_received(self) -> bool:
        """A client that has stopped sending has left, like with most servers; what is written already may flow off."""
        if self._playing is not None:
            self._transport.abort()
        return False

    def pause_writing(self) -> None:
        self._paused = True
        if self._outlet is not None:
            self._outlet.pause()

    def resume_writing(self) -> None:
        self._paused = False
        if self._outlet is not None:
            self._outlet.resume()

    def close_if_idle(self) -> None:
        """Ends a connection that owes nothing and heard nothing since this was last called."""
        if not self._heard and self._playing is None and not self._stalled:
            self._transport.abort()
        self._heard = False

    def abort(self) -> None:
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        self._heard = True
        if self._deaf:
            return
        if self._playing is not None or self._paused:
            self._transport.abort()  # a request before the last answer was read: pipelining, which we do not do
            return
        try:
            request = self._reader.feed(data)
        except Refused as refused:
            self._refuse_and_end(refused)
            return
        if request is not None:
            self._take(request)
        elif self._reader.wants_continue():
            self._transport.write(responses.CONTINUE)

    def _refuse_and_end(self, refused: Refused) -> None:
        self._shared.books.refused += 1
        self._deaf = True
        self._transport.write(responses.whole(refused.status, refused.body(), close=True))
        self._transport.write_eof()
        self._shared.loop.call_later(LINGER_S, self._transport.abort)

    def _take(self, request: Request) -> None:
        if request.method == b"HEAD":  # answered like a method not allowed; its body would be read as the next answer
            request.close = True
        try:
            if request.target == routes.CHAT and request.method == b"POST":
                routes.check_key(request, self._shared.settings)
                self._complete(request, self._shared.understand(request.body))
                return
            self._transport.write(routes.answer(request, self._shared.settings, self._shared.books))
        except Refused as refused:
            self._shared.books.refused += 1
            self._transport.write(responses.whole(refused.status, refused.body(), close=request.close))
        if request.close:
            self._close()

    def _complete(self, request: Request, answer: ChatAnswer) -> None:
        shared, plan = self._shared, answer.plan
        record = self._new_record(request, answer)
        answer_id, created = shared.new_id(), b"%d" % (wall_ms() // 1_000)
        if answer.instant:
            record.completion_tokens = plan.completion_tokens
            shared.books.add_finished(record)
            connection = responses.CLOSING if request.close else b""
            self._transport.write(answer.unstreamed(answer_id, created, connection))
            if request.close:
                self._close()
            return
        script = write_script(answer, answer_id, created, framed=request.chunks_understood, close=request.close)
        shared.books.open(record)
        self._record = record
        self._outlet = Outlet(shared.loop, self._transport, plan.orders.split_bytes)
        self._playing = Playing(shared.loop, self._outlet, script, self)
        self._playing.start()

    def _new_record(self, request: Request, answer: ChatAnswer) -> Record:
        request_id = request.header(b"x-request-id")
        record = Record(
            None if request_id is None else request_id.decode("latin-1"),
            answer.plan.model,
            answer.plan.prompt_tokens,
            self._shared.same_names(request.headers),
        )
        if self._shared.settings.record_credentials:
            authorization = request.header(b"authorization")
            record.authorization = None if authorization is None else authorization.decode("latin-1")
        return record

    def sent(self, tokens: int) -> None:
        assert self._record is not None
        self._record.completion_tokens = tokens

    def ended(self, script: Script) -> None:
        assert self._record is not None
        self._shared.books.close(self._record, script.state)
        self._playing = self._outlet = self._record = None
        match script.ending:
            case Ending.CLOSE:
                self._close()
            case Ending.CUT:
                self._deaf = True
                reset(self._shared.loop, self._transport)
            case Ending.STALL:
                self._deaf = self._stalled = True
            case Ending.KEEP:
                pass

    def _close(self) -> None:
        self._deaf = True
        self._transport.close()
