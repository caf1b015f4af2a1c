"""The desk at which a request is let in: whose key, what for, at which price, is there room. Nothing is owed before.

Each step raises the `Failure` to answer with.
"""

from dataclasses import dataclass, field
from uuid import UUID

from msgspec import Struct

from metering.admission import Admission, Decision, Limits, LimitsUnavailable
from metering.endpoints import Endpoint
from metering.estimate.bound import Bound, answers_of, bound, highest
from metering.holds import HoldPlan
from metering.policy import Use
from metering.pricing import Price
from metering.verdict import Outcome
from proxy import asking, refusals
from proxy.asking import Asked
from proxy.failures import Failure
from proxy.http import headers
from proxy.http.body import body_at_hand, presented_key, read_body
from proxy.http.client_address import client_address
from proxy.keys.door import Door
from proxy.keys.verifier import Identity
from proxy.prices import PriceBook
from proxy.routing import Fleet, Route, Routes
from proxy.settlement import Admitted
from proxy.telemetry.pace import Pace
from proxy.upstream.attempts import Attempts
from runtime.clock import monotonic_ms, monotonic_ns
from runtime.http.request import Request
from runtime.settings import Holds, Listen


class Wanted(Struct, frozen=True):
    """What a request asks for, who is to serve it, and what is to be held for it at first, or at least."""

    asked: Asked
    fleet: Fleet
    price: Price
    plan: HoldPlan
    first_nanos: int
    least_nanos: int

    @property
    def tokens(self) -> int:
        return self.plan.bound.input_tokens + self.plan.bound.output_tokens


@dataclass(frozen=True, slots=True)
class Desk:
    door: Door
    limits: Limits
    prices: PriceBook
    routes: Routes
    listen: Listen
    holds: Holds = field(default_factory=Holds)

    async def identify(self, request: Request, pace: Pace) -> Identity:
        key, door = presented_key(request.headers), self.door
        pace.identity = identity = door.known(key) or await door.ask(request, key)
        return identity

    async def read(self, request: Request, endpoint: Endpoint, pace: Pace) -> Wanted:
        raw = body_at_hand(request, self.listen.max_body_bytes)
        if raw is None:
            since_ns = monotonic_ns()
            raw = await read_body(request, self.listen.max_body_bytes, self.listen.body_timeout_s)
            pace.uploading_ns = monotonic_ns() - since_ns
        content_type = request.headers.get("Content-Type", "") if endpoint.is_form else ""
        asked = asking.parse(raw, endpoint, content_type)
        fleet, price = self._fleet_and_price(asked.ask.model, endpoint)
        pace.model = asked.ask.model
        if fleet.additions.body:
            asked = asking.with_fields(asked, fleet.additions.body)
        plan = self._plan(asked, fleet, price)
        return Wanted(asked, fleet, price, plan, plan.first_nanos, plan.least_nanos)

    def _plan(self, asked: Asked, fleet: Fleet, price: Price) -> HoldPlan:
        """What must be held wherever the request ends up: the most that any of the upstreams may make of it."""
        ask, first, limit = asked.ask, fleet.terms[0], fleet.max_output_tokens
        most, answers = _most(asked, first, limit), answers_of(ask, first.kind)
        for other in fleet.terms[1:]:
            most = highest(most, _most(asked, other, limit))
            answers = max(answers, answers_of(ask, other.kind))
        return HoldPlan(
            most,
            price,
            answers=answers,
            limit=limit if ask.output_limit is None else ask.output_limit,
            least_output=ask.least_output,
            is_stepwise=ask.is_stream and ask.generates,
            may_lower=self.holds.lower_limits and ask.generates and bool(asked.endpoint.wire.limits),
            step_tokens=self.holds.step_tokens,
        )

    def _fleet_and_price(self, model: str, endpoint: Endpoint) -> tuple[Fleet, Price]:
        fleet = self.routes.for_model(model)
        if fleet is None:
            raise Failure("model_not_found", "The model does not exist.", "model")
        if endpoint.is_rooted and (fleet := fleet.of_ollama) is None:
            raise Failure("not_found", "This model is not served by Ollama.")
        price = self.prices.in_force(model)
        if price is None:
            raise Failure("model_not_priced", "The model has no price.", "model")
        return fleet, price

    async def ask_for_room(self, request: Request, request_id: UUID, identity: Identity, wanted: Wanted) -> Decision:
        ip = client_address(request.remote, request.raw_headers, self.listen.trusted_proxies)
        use = Use(wanted.asked.ask.model, wanted.asked.endpoint.name, ip)
        key_id, wallet_id = identity.key_id, identity.wallet_id
        try:
            return await self.limits.admit(
                Admission(request_id, key_id, wallet_id, wanted.first_nanos, wanted.tokens, use, wanted.least_nanos)
            )
        except LimitsUnavailable as error:
            raise refusals.of_limits(error) from error

    def admitted(
        self, request: Request, request_id: UUID, identity: Identity, wanted: Wanted, decision: Decision
    ) -> Admitted:
        """What was let in; raises the refusal if it was not."""
        if decision.outcome is not Outcome.ADMITTED:
            raise refusals.of_decision(decision, wanted.least_nanos, wanted.tokens)
        held_nanos = decision.held_nanos
        is_all = held_nanos >= wanted.first_nanos
        return Admitted(
            request_id,
            identity,
            wanted.asked,
            wanted.asked.endpoint.name,
            wanted.fleet,
            Attempts(wanted.fleet.balance, monotonic_ms),
            wanted.price,
            headers.client_request_id(request.headers),
            wanted.plan,
            held_nanos,
            None if is_all else wanted.plan.lowered_limit(held_nanos),
        )


def _most(asked: Asked, route: Route, limit: int) -> Bound:
    return bound(asked.ask, asked.fields, limit, route.kind, context_tokens=route.settings.context_tokens)
