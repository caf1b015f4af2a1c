"""One request from its first byte to its settlement: the interpreter of the exchange's commands.

`Call.run` reads as the request goes: admit, send, relay, settle. What happens is told to the `Exchange`; what it
commands is done here, and nowhere else is anything settled or let go.
"""

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass, field
from functools import partial

import structlog
from msgspec.structs import replace

from ledger.entries import DRAINED
from ledger.money import format_dollars
from metering.admission import Decision
from metering.endpoints import Endpoint
from metering.injection import Outgoing
from metering.kinds import OnClientLeft
from proxy import refusals
from proxy.admitting import Desk
from proxy.drain import Drain, Generation
from proxy.error_shapes import ErrorShape, body_of, last_event, shape_of
from proxy.exchange import Command, Event, Exchange, State
from proxy.failures import Failure
from proxy.funding import Funding
from proxy.http import headers
from proxy.http.answers import failure_response
from proxy.leaving import Drains
from proxy.questions import Questions, is_about_our_question
from proxy.recording import Recorder, Recording
from proxy.relay import NOTHING_SENT, Relay, Signal
from proxy.routing import Route
from proxy.sending import sent_for
from proxy.settlement import CLIENT_LEFT, FUNDS_ENDED, Admitted, Ending, ended_how
from proxy.tapping import tap_of
from proxy.telemetry import meters, request_log
from proxy.telemetry.tracing import with_context
from proxy.upstream.errors import UpstreamError
from runtime.clock import monotonic_ns, wall_ms
from runtime.http.request import Reply, Request
from runtime.http.response import Response
from runtime.http.stream import AnswerStream
from runtime.ids import new_request_id
from runtime.settings import Listen
from runtime.tasks import TaskSet

log = structlog.get_logger("farebox.gateway")

# nginx's status for a client that left; nobody receives it
_CLIENT_CLOSED_REQUEST = 499
_SERVICE_UNAVAILABLE = 503
_LAST_SIGNALS = (Signal.END, Signal.FAILED, Signal.SPENT)


@dataclass(frozen=True, slots=True)
class Gateway:
    """What every call needs. `tasks`: answers that are read on without a client."""

    desk: Desk
    recorder: Recorder
    listen: Listen
    drain: Drain | Generation
    questions: Questions = field(default_factory=Questions)
    drains: Drains = field(default_factory=Drains)
    tasks: TaskSet = field(default_factory=TaskSet)

    def serve(self, endpoint: Endpoint, request: Request) -> Awaitable[Reply]:
        return Call(self, request, endpoint).run()


class Call:
    """One request to one of the gateway's routes."""

    def __init__(self, gateway: Gateway, request: Request, endpoint: Endpoint) -> None:
        self._gateway = gateway
        self._request = request
        self._endpoint = endpoint
        self._exchange = Exchange()
        self._request_id = new_request_id(wall_ms())
        self._id = str(self._request_id)
        self._pace = gateway.recorder.begin(request)
        self._decision: Decision | None = None
        self._admitted: Admitted | None = None
        self._funding: Funding | None = None
        self._sent: Outgoing | None = None
        self._relay = NOTHING_SENT
        self._client: AnswerStream | None = None
        self._recording: Recording | None = None

    async def run(self) -> Reply:
        try:
            self._admitted = await self._admit()
            return await self._serve(self._admitted)
        except Failure as failure:
            return await self._fail(failure)
        except (asyncio.CancelledError, ConnectionError):
            self._leave()
            raise
        except Exception as error:
            log.error("call_failed", request_id=self._id, exc_info=error)
            self._relay.abort()
            return await self._fail(Failure("internal_error", "Farebox failed."))

    # RECEIVED and KNOWN: nothing is owed

    async def _admit(self) -> Admitted:
        desk = self._gateway.desk
        identity = await desk.identify(self._request, self._pace)
        self._exchange.on(Event.VERIFIED)
        wanted = await desk.read(self._request, self._endpoint, self._pace)
        decision = await desk.ask_for_room(self._request, self._request_id, identity, wanted)
        if not refusals.is_about_the_key(decision):
            self._decision = decision
        admitted = desk.admitted(self._request, self._request_id, identity, wanted, decision)
        self._funding = Funding(admitted, desk.limits.leases, self._gateway.tasks, self._pace.began_ns // 1_000_000)
        self._exchange.on(Event.HOLD_PLACED)
        return admitted

    # ADMITTED, WAITING and RELAYING: the upstream works

    async def _serve(self, admitted: Admitted) -> Reply:
        attempts = admitted.attempts
        if not attempts.begin_next():
            raise refusals.nobody_to_ask(attempts.retry_after_ms())
        await self._send(admitted)
        while True:
            signal = await self._relay.next_signal()
            if signal is Signal.BEGIN:
                attempts.answered(self._relay.status)
                await self._begin()
            elif signal is Signal.CONGESTED:
                await self._wait_for_client()
            elif signal is Signal.SPENT:
                return self._end_spent()
            elif signal is Signal.FAILED:
                error = self._relay.error
                assert error is not None
                if not (attempts.failed(error) and await self._move_on(admitted)):
                    raise refusals.of_upstream(error) from error
            elif self._was_our_question_refused():
                self._gateway.questions.refused(admitted.route, admitted.asked.ask.model)
                await self._send(admitted)
            elif not (attempts.answered(self._relay.status, self._relay.headers) and await self._move_on(admitted)):
                return await self._finish()

    async def _move_on(self, admitted: Admitted) -> bool:
        """To another upstream, if there is one and the client has seen nothing yet."""
        if self._client is not None or not admitted.attempts.begin_next():
            return False
        self._on(Event.FAILED_OVER)
        await self._send(admitted)
        return True

    async def _send(self, admitted: Admitted) -> None:
        """To the upstream whose turn it is, or to the next one that takes it; raises the last one's failure."""
        while True:
            try:
                return await self._send_to(admitted, admitted.route)
            except UpstreamError as error:
                if not (admitted.attempts.failed(error) and admitted.attempts.begin_next()):
                    raise refusals.of_upstream(error) from error

    async def _send_to(self, admitted: Admitted, route: Route) -> None:
        ask, pace = admitted.asked.ask, self._pace
        may_ask = self._gateway.questions.may_ask(route, ask.model)
        request, self._sent = sent_for(admitted, self._id, self._request.raw_headers, may_ask=may_ask)
        if pace.span is not None:
            request = replace(request, headers=with_context(request.headers, pace.span))
        trusts_counts = route.on_client_left is not OnClientLeft.ESTIMATE
        make_tap = partial(tap_of, self._endpoint, ask, self._sent, trusts_counts)
        self._relay = relay = Relay(make_tap, begins_late=admitted.attempts.has_others)
        assert self._funding is not None
        self._funding.follow(relay)
        relay.upstream = route.pool.send_at_once(request, relay) or await route.pool.send(request, relay)
        pace.sent_ns = pace.sent_ns or monotonic_ns()
        if self._exchange.state is State.ADMITTED:
            self._exchange.on(Event.SENT)

    def _was_our_question_refused(self) -> bool:
        relay, sent = self._relay, self._sent
        return sent is not None and sent.is_asking and is_about_our_question(relay.status, relay.body)

    async def _begin(self) -> None:
        self._on(Event.ANSWER_BEGUN)
        relay = self._relay
        passed = headers.to_client(relay.headers, is_edited=True) + self._own_headers()
        if relay.is_stream:
            passed.append(("x-accel-buffering", "no"))
        self._client = self._request.begin(relay.status, passed, relay.take())
        relay.attach(self._client)
        if self._funding is not None:
            self._funding.delivering()

    async def _wait_for_client(self) -> None:
        assert self._client is not None
        try:
            await self._client.drain(self._gateway.listen.client_stall_timeout_s)
        except TimeoutError:
            self._request.abort()
            raise ConnectionAbortedError("the client stopped reading") from None
        self._relay.resume()

    async def _finish(self) -> Reply:
        relay = self._relay
        if relay.is_good:
            self._on(Event.ANSWER_COMPLETE, Ending(ended_how(relay.tap), relay.status))
        elif refusals.passes_on(relay.status):
            self._on(Event.ANSWER_REFUSED, Ending("upstream_refused", relay.status))
        else:
            raise refusals.of_status(relay.status)
        if self._client is not None:
            self._client.finish(relay.tail)
            return self._client
        passed = headers.to_client(relay.headers, is_edited=False) + self._own_headers()
        if self._recording is not None:
            await self._recording.wait(self._gateway.recorder.waits)
            if self._recording.entry is not None:
                passed.append(("x-farebox-cost", format_dollars(self._recording.entry.cost_nanos)))
            meters.handed_over(monotonic_ns() - self._pace.closed_ns)
        return Response(relay.status, passed, relay.body)

    async def _fail(self, failure: Failure) -> Reply:
        if self._exchange.state in (State.RECEIVED, State.KNOWN):
            self._on(Event.REFUSED)
            self._gateway.recorder.refused(self._request, self._request_id, self._endpoint, failure, self._pace)
        else:
            status = failure.status if self._client is None else self._relay.status
            fault = request_log.fault_of(failure.__cause__) or f"status {self._relay.status}"
            self._on(Event.UPSTREAM_FAILED, Ending(failure.code, status, failure.message, fault))
        if self._client is None:
            return failure_response(failure, self._own_headers(), body_of(failure, self._shape))
        return self._end_with_event(failure, self._client)

    def _end_spent(self) -> Reply:
        """Neither the wallet nor the key's budget has anything left to hold."""
        failure = refusals.funds_ended()
        self._on(Event.FUNDS_ENDED, Ending(FUNDS_ENDED, self._relay.status, failure.message))
        assert self._client is not None
        return self._end_with_event(failure, self._client)

    def _end_with_event(self, failure: Failure, client: AnswerStream) -> Reply:
        framing = self._relay.framing
        if framing is None:
            # a body cut short must not look whole
            self._request.abort()
            raise ConnectionAbortedError("the answer broke off")
        between = self._relay.is_between_events
        client.finish(last_event(failure, self._shape, framing, is_between_events=between))
        return client

    # the client is gone

    def _leave(self) -> None:
        """The answer is cut, or read on for what it says of usage."""
        if self._gateway.drain.is_cutting:
            self._on(Event.CLIENT_LEFT, Ending("shutdown", self._relay.status or _SERVICE_UNAVAILABLE))
            return
        wait_s = None
        if self._admitted is not None and self._exchange.state in (State.WAITING, State.RELAYING):
            wait_s = self._gateway.drains.reads_on_s(self._admitted.route, self._relay.tap)
        if wait_s is None or self._admitted is None:
            self._on(Event.CLIENT_LEFT, Ending(CLIENT_LEFT, _CLIENT_CLOSED_REQUEST))
            return
        self._on(Event.CLIENT_LEFT_READ_ON)
        self._gateway.tasks.spawn(self._read_on(self._admitted, wait_s), name="read-on")

    async def _read_on(self, admitted: Admitted, wait_s: float) -> None:
        ending = Ending(CLIENT_LEFT, _CLIENT_CLOSED_REQUEST)
        with self._gateway.drain, self._gateway.drains.reading(admitted.route):
            try:
                async with asyncio.timeout(wait_s):
                    while (signal := await self._relay.next_signal()) not in _LAST_SIGNALS:
                        pass
            except TimeoutError:
                self._on(Event.DRAINED_ENOUGH, ending)
            except asyncio.CancelledError:
                self._on(Event.CLIENT_LEFT, Ending("shutdown", _CLIENT_CLOSED_REQUEST))
                raise
            else:
                is_whole = signal is Signal.END and self._relay.is_good and not self._relay.tap.has_error
                if is_whole:
                    self._on(Event.ANSWER_COMPLETE, Ending(DRAINED, _CLIENT_CLOSED_REQUEST))
                elif signal is Signal.SPENT:
                    self._on(Event.FUNDS_ENDED, ending)
                else:
                    self._on(Event.UPSTREAM_FAILED, ending)

    # what the client is told about itself

    @property
    def _shape(self) -> ErrorShape:
        return shape_of(self._endpoint.wire)

    def _own_headers(self) -> list[tuple[str, str]]:
        own = [("x-request-id", self._id)]
        if self._admitted is not None and self._admitted.lowered_limit is not None:
            own.append(("x-farebox-max-tokens", str(self._admitted.lowered_limit)))
        if self._decision is not None:
            own.extend(headers.rate_limit(self._decision.minute))
            if self._decision.tokens is not None:
                own.extend(headers.rate_limit(self._decision.tokens, is_of_tokens=True))
        return own

    # the exchange's commands; where what it commands is what comes next anyway, it is told without this

    def _on(self, event: Event, ending: Ending | None = None) -> None:
        for command in self._exchange.on(event):
            if command is Command.SETTLE or command is Command.RELEASE:
                assert self._admitted is not None and ending is not None
                self._record(command, self._admitted, ending)
            elif command is Command.ABORT_UPSTREAM:
                self._relay.abort()
            elif command is Command.READ_ON:
                self._relay.read_on()

    def _record(self, command: Command, admitted: Admitted, ending: Ending) -> None:
        recorder, pace = self._gateway.recorder, self._pace
        pace.close(self._relay.first_ns)
        has_answer = self._relay.status == 0 or self._relay.is_good
        if command is Command.RELEASE or not has_answer:
            self._recording = recorder.free(admitted, ending, pace)
            return
        is_estimate = ending.status == _CLIENT_CLOSED_REQUEST and not ending.is_complete
        trusts_running = not (is_estimate and admitted.route.on_client_left is OnClientLeft.ESTIMATE)
        tap = self._relay.tap
        self._recording = recorder.charge(admitted, ending, tap, pace, trusts_running=trusts_running)
