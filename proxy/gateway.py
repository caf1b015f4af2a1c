"""One request from its first byte to its settlement: the interpreter of the exchange's commands.

`Call.run` reads as the request goes: verify, read, price, hold, send, relay, settle. What happens is told to the
`Exchange`; what it commands is done here, and nowhere else is anything settled or let go.
"""

import asyncio
from dataclasses import dataclass

import structlog
from aiohttp import web

from ledger.entries import UsageEntry
from ledger.money import MAX_NANOS, format_dollars
from metering.admission import Admission, Decision, Limits, LimitsUnavailable, Settlement
from metering.estimate import bound
from metering.model import Outcome
from metering.policy import Use
from metering.pricing import Price, worst_cost_nanos
from proxy import chat_request, refusals
from proxy.drain import Drain
from proxy.exchange import Command, Event, Exchange, State
from proxy.failures import Failure
from proxy.http import client_stream, headers
from proxy.http.answers import failure_response, whole_response
from proxy.http.body import presented_key, read_body
from proxy.http.client_address import client_address
from proxy.keys import Identity, KeyVerifier
from proxy.prices import PriceBook
from proxy.relay import Relay, Signal
from proxy.routing import Route, Routes
from proxy.settlement import Admitted, Ending, charged_entry, ended_how, free_entry
from proxy.upstream.errors import UpstreamError
from proxy.upstream.pool import UpstreamRequest
from runtime.clock import monotonic_ms, wall_ms
from runtime.coalesce import Overloaded
from runtime.ids import new_request_id
from runtime.settings import Listen

log = structlog.get_logger("farebox.gateway")

# A complete answer waits this long for its settlement to be safe in Redis, then it is handed over all the same.
_SETTLE_WAIT_S = 0.5
# nginx's status for a client that left; nobody receives it
_CLIENT_CLOSED_REQUEST = 499
_SERVICE_UNAVAILABLE = 503


@dataclass(frozen=True, slots=True)
class Gateway:
    """What every call needs."""

    verifier: KeyVerifier
    limits: Limits
    prices: PriceBook
    routes: Routes
    listen: Listen
    drain: Drain

    async def chat_completions(self, request: web.BaseRequest) -> web.StreamResponse:
        return await Call(self, request, "/chat/completions").run()


class Call:
    """One request; `path` is what follows the upstream's base path."""

    def __init__(self, gateway: Gateway, request: web.BaseRequest, path: str) -> None:
        self._gateway = gateway
        self._request = request
        self._path = path
        self._exchange = Exchange()
        self._request_id = new_request_id(wall_ms())
        self._began_ms = monotonic_ms()
        self._decision: Decision | None = None
        self._admitted: Admitted | None = None
        self._relay = Relay(remove_usage=False)
        self._response: web.StreamResponse | None = None
        self._client: client_stream.ClientStream | None = None
        self._entry: UsageEntry | None = None
        self._settled: asyncio.Future[int] | None = None

    async def run(self) -> web.StreamResponse:
        try:
            self._admitted = await self._admit()
            return await self._serve(self._admitted)
        except Failure as failure:
            return await self._fail(failure)
        except (asyncio.CancelledError, ConnectionError):
            self._on(Event.CLIENT_LEFT, self._cut_short())
            raise
        except Exception as error:
            log.error("call_failed", request_id=str(self._request_id), exc_info=error)
            self._relay.abort()
            return await self._fail(Failure("internal_error", "Farebox failed."))

    # RECEIVED and KNOWN: nothing is owed

    async def _admit(self) -> Admitted:
        gateway = self._gateway
        identity = await gateway.verifier.verify(presented_key(self._request.headers))
        self._on(Event.VERIFIED)
        raw = await read_body(self._request, gateway.listen.max_body_bytes, gateway.listen.body_timeout_s)
        chat = chat_request.parse(raw)
        route, price = self._route_and_price(chat.model)
        limit = bound(chat.fields, route.settings.max_output_tokens)
        hold_nanos = min(worst_cost_nanos(limit.input_tokens, limit.output_tokens, price), MAX_NANOS)
        tokens = limit.input_tokens + limit.output_tokens
        decision = await self._ask_for_room(identity, hold_nanos, tokens, chat.model)
        if decision.outcome is not Outcome.ADMITTED:
            raise refusals.of_decision(decision, hold_nanos, tokens)
        self._on(Event.HOLD_PLACED)
        return Admitted(
            self._request_id,
            identity,
            chat,
            f"/v1{self._path}",
            route,
            price,
            headers.client_request_id(self._request.raw_headers),
        )

    def _route_and_price(self, model: str) -> tuple[Route, Price]:
        route = self._gateway.routes.for_model(model)
        if route is None:
            raise Failure("model_not_found", "The model does not exist.", "model")
        price = self._gateway.prices.in_force(model)
        if price is None:
            raise Failure("model_not_priced", "The model has no price.", "model")
        return route, price

    async def _ask_for_room(self, identity: Identity, hold_nanos: int, tokens: int, model: str) -> Decision:
        request = self._request
        ip = client_address(request.remote, request.raw_headers, self._gateway.listen.trusted_proxies)
        use = Use(model, f"/v1{self._path}", ip)
        try:
            decision = await self._gateway.limits.admit(
                Admission(self._request_id, identity.key_id, identity.wallet_id, hold_nanos, tokens, use)
            )
        except LimitsUnavailable as error:
            raise refusals.of_limits(error) from error
        if decision.outcome not in (Outcome.UNKNOWN_KEY, Outcome.KEY_REFUSED):
            self._decision = decision
        return decision

    # ADMITTED and RELAYING: the upstream works

    async def _serve(self, admitted: Admitted) -> web.StreamResponse:
        await self._send(admitted)
        relay = self._relay
        while True:
            signal = await relay.next_signal()
            if signal is Signal.BEGIN:
                await self._begin()
            elif signal is Signal.CONGESTED:
                await self._wait_for_client()
            elif signal is Signal.FAILED:
                assert relay.error is not None
                raise refusals.of_upstream(relay.error) from relay.error
            else:
                return await self._finish()

    async def _send(self, admitted: Admitted) -> None:
        sent = admitted.chat.sent
        passed = headers.to_upstream(
            self._request.raw_headers, credential=admitted.route.credential, request_id=str(self._request_id)
        )
        self._relay = relay = Relay(remove_usage=sent.usage_injected)
        request = UpstreamRequest("POST", self._path, passed, sent.body)
        try:
            relay.upstream = await admitted.route.pool.send(request, relay)
        except UpstreamError as error:
            raise refusals.of_upstream(error) from error

    async def _begin(self) -> None:
        self._on(Event.ANSWER_BEGUN)
        relay = self._relay
        passed = headers.to_client(relay.headers, is_edited=True) + self._own_headers()
        if relay.is_stream:
            passed.append(("x-accel-buffering", "no"))
        self._response, self._client = await client_stream.begin(self._request, relay.status, passed)
        relay.attach(self._client)

    async def _wait_for_client(self) -> None:
        assert self._client is not None
        try:
            await self._client.drain(self._gateway.listen.client_stall_timeout_s)
        except TimeoutError:
            self._hang_up()
            raise ConnectionAbortedError("the client stopped reading") from None
        self._relay.resume()

    async def _finish(self) -> web.StreamResponse:
        relay = self._relay
        if relay.is_good:
            self._on(Event.ANSWER_COMPLETE, Ending(ended_how(relay.tap), relay.status))
        elif refusals.passes_on(relay.status):
            self._on(Event.ANSWER_REFUSED, Ending("upstream_refused", relay.status))
        else:
            raise refusals.of_status(relay.status)
        if self._response is not None and self._client is not None:
            await self._client.finish()
            return self._response
        await self._wait_until_settled()
        passed = headers.to_client(relay.headers, is_edited=False) + self._own_headers()
        if self._entry is not None:
            passed.append(("x-farebox-cost", format_dollars(self._entry.cost_nanos)))
        return whole_response(relay.status, passed, relay.body)

    async def _wait_until_settled(self) -> None:
        if self._settled is not None:
            await asyncio.wait([self._settled], timeout=_SETTLE_WAIT_S)

    async def _fail(self, failure: Failure) -> web.StreamResponse:
        if self._exchange.state in (State.RECEIVED, State.KNOWN):
            self._on(Event.REFUSED)
        else:
            status = failure.status if self._response is None else self._relay.status
            self._on(Event.UPSTREAM_FAILED, Ending(failure.code, status, failure.message))
        if self._response is None or self._client is None:
            return failure_response(failure, self._own_headers())
        if not self._relay.is_stream:
            # a body cut short must not look whole
            self._hang_up()
            raise ConnectionAbortedError("the answer broke off")
        # half an event is on its way already: a blank line keeps ours from becoming part of it
        self._client.write(failure.event() if self._relay.is_between_events else b"\n\n" + failure.event())
        await self._client.finish()
        return self._response

    def _cut_short(self) -> Ending:
        if self._gateway.drain.is_cutting:
            return Ending("shutdown", self._relay.status or _SERVICE_UNAVAILABLE)
        return Ending("client_left", _CLIENT_CLOSED_REQUEST)

    def _hang_up(self) -> None:
        if self._request.transport is not None:
            self._request.transport.abort()

    def _own_headers(self) -> list[tuple[str, str]]:
        own = [("x-request-id", str(self._request_id))]
        if self._decision is not None:
            own.extend(headers.rate_limit(self._decision.minute))
            if self._decision.tokens is not None:
                own.extend(headers.rate_limit(self._decision.tokens, "tokens"))
        return own

    # the exchange's commands

    def _on(self, event: Event, ending: Ending | None = None) -> None:
        for command in self._exchange.on(event):
            if command is Command.ABORT_UPSTREAM:
                self._relay.abort()
            elif command is Command.SETTLE:
                assert self._admitted is not None and ending is not None
                self._record(charged_entry(self._admitted, ending, self._relay.tap, self._duration_ms()))
            elif command is Command.RELEASE:
                assert self._admitted is not None and ending is not None
                self._record(free_entry(self._admitted, ending, self._duration_ms()))

    def _duration_ms(self) -> int:
        return monotonic_ms() - self._began_ms

    def _record(self, entry: UsageEntry) -> None:
        self._entry = entry
        settlement = Settlement(
            entry.request_id,
            entry.api_key_id,
            entry.wallet_id,
            entry.cost_nanos,
            entry.to_json(),
            tokens=entry.all_input_tokens + entry.all_output_tokens,
        )
        try:
            self._settled = self._gateway.limits.settle(settlement)
        except Overloaded:
            log.error("settlement_lost", request_id=str(entry.request_id), cost_nanos=entry.cost_nanos)
        log_request(entry)


def log_request(entry: UsageEntry) -> None:
    log.info(
        "request",
        request_id=str(entry.request_id),
        key_id=str(entry.api_key_id),
        model=entry.model,
        endpoint=entry.endpoint,
        status=entry.status_code,
        end_reason=entry.end_reason,
        usage_source=entry.usage_source,
        input_tokens=entry.all_input_tokens,
        output_tokens=entry.all_output_tokens,
        cost_nanos=entry.cost_nanos,
        duration_ms=entry.response_time_ms,
    )
