"""One client's connection: requests in, answers out."""

import asyncio
from typing import Any, cast

from runtime.clock import wall_ms
from runtime.simulator import responses, routes
from runtime.simulator.chat import ChatAnswer
from runtime.simulator.dialects.counting import COUNTING, count
from runtime.simulator.dialects.refusals import shaped
from runtime.simulator.dialects.reply import Place, check_served, kind_of, locate, reply_to
from runtime.simulator.errors import Refused
from runtime.simulator.form import read_form
from runtime.simulator.kinds import Kind
from runtime.simulator.performing import perform
from runtime.simulator.plan import read_object
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
        # All the tokens of an answer that is generated to its end even if its client leaves.
        self._generated_at_last: int | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one without inheriting from it
        self._shared.joined(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._shared.left(self)
        self._deaf = True
        if self._playing is not None and self._record is not None:
            self._playing.stop()
            self._playing = None
            if self._generated_at_last is not None:
                self._record.completion_tokens = self._generated_at_last
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
            if request.method == b"POST" and self._generate(request):
                return
            self._transport.write(routes.answer(request, self._shared.settings, self._shared.books))
        except Refused as refused:
            self._shared.books.refused += 1
            self._transport.write(responses.whole(refused.status, refused.body(), close=request.close))
        if request.close:
            self._close()

    def _generate(self, request: Request) -> bool:
        """True for a route that generates or counts tokens; raises Refused."""
        if request.target == routes.CHAT:
            routes.check_key(request, self._shared.settings)
            answer = self._shared.understand(request.body)
            if answer is not None:
                self._complete(request, answer)
                return True
        place = locate(request.target)
        if place is None:
            return False
        routes.check_key(request, self._shared.settings)
        raw = _read_body(request)
        kind = kind_of(place, raw, self._shared.settings)
        try:
            self._speak(request, kind, place, raw)
        except Refused as refused:
            raise shaped(refused, kind, place.format) from refused
        return True

    def _complete(self, request: Request, answer: ChatAnswer) -> None:
        shared, plan = self._shared, answer.plan
        record = self._new_record(request, plan.model, plan.prompt_tokens)
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
        self._play(record, script, plan.orders.split_bytes)

    def _speak(self, request: Request, kind: Kind, place: Place, raw: dict[str, Any]) -> None:
        """Answers as a server of that kind does."""
        check_served(kind, place.format)
        if place.format in COUNTING:
            self._transport.write(responses.json_answer(count(kind, place.format, raw), close=request.close))
            if request.close:
                self._close()
            return
        shared = self._shared
        reply = reply_to(kind, place, raw, shared.settings, shared.new_id().decode(), wall_ms() // 1_000)
        record = self._new_record(request, reply.job.model, reply.job.prompt_tokens)
        record.more = reply.counted()
        # llama.cpp keeps a request with this header as a session that can be taken up again
        resumable = kind is Kind.LLAMACPP and request.header(b"x-conversation-id") is not None
        if reply.job.traits.generates_on or resumable:
            self._generated_at_last = reply.job.completion_tokens
        script = perform(reply, framed=request.chunks_understood, close=request.close)
        self._play(record, script, reply.job.orders.split_bytes)

    def _play(self, record: Record, script: Script, split_bytes: int) -> None:
        self._shared.books.open(record)
        self._record = record
        self._outlet = Outlet(self._shared.loop, self._transport, split_bytes)
        self._playing = Playing(self._shared.loop, self._outlet, script, self)
        self._playing.start()

    def _new_record(self, request: Request, model: str, prompt_tokens: int) -> Record:
        request_id = request.header(b"x-request-id")
        record = Record(
            None if request_id is None else request_id.decode("latin-1"),
            model,
            prompt_tokens,
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
        self._playing = self._outlet = self._record = self._generated_at_last = None
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


def _read_body(request: Request) -> dict[str, Any]:
    content_type = request.header(b"content-type") or b""
    if content_type.startswith(b"multipart/"):
        return read_form(content_type, request.body)
    return read_object(request.body)
