"""The desk at which a request is let in: whose key, what for, at which price, is there room. Nothing is owed before.

Each step raises the `Failure` to answer with.
"""

from dataclasses import dataclass
from uuid import UUID

from aiohttp import web

from ledger.money import MAX_NANOS
from metering.admission import Admission, Decision, Limits, LimitsUnavailable
from metering.endpoints import Endpoint
from metering.estimate.bound import Bound, bound
from metering.model import Outcome
from metering.policy import Use
from metering.pricing import Price, worst_cost_nanos
from proxy import asking, refusals
from proxy.asking import Asked
from proxy.failures import Failure
from proxy.http import headers
from proxy.http.body import presented_key, read_body
from proxy.http.client_address import client_address
from proxy.keys import Identity, KeyVerifier
from proxy.prices import PriceBook
from proxy.routing import Route, Routes
from proxy.settlement import Admitted
from runtime.settings import Listen


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a request asks for, who is to serve it, and what that costs at most."""

    asked: Asked
    route: Route
    price: Price
    bound: Bound
    hold_nanos: int

    @property
    def tokens(self) -> int:
        return self.bound.input_tokens + self.bound.output_tokens


@dataclass(frozen=True, slots=True)
class Desk:
    verifier: KeyVerifier
    limits: Limits
    prices: PriceBook
    routes: Routes
    listen: Listen

    async def identify(self, request: web.BaseRequest) -> Identity:
        return await self.verifier.verify(presented_key(request.headers))

    async def read(self, request: web.BaseRequest, endpoint: Endpoint) -> Wanted:
        raw = await read_body(request, self.listen.max_body_bytes, self.listen.body_timeout_s)
        asked = asking.parse(raw, endpoint, request.headers.get("Content-Type", ""))
        route, price = self._route_and_price(asked.ask.model, endpoint)
        settings = route.settings
        most = bound(
            asked.ask, asked.fields, settings.max_output_tokens, route.kind, context_tokens=settings.context_tokens
        )
        return Wanted(asked, route, price, most, _hold_nanos(most, price))

    def _route_and_price(self, model: str, endpoint: Endpoint) -> tuple[Route, Price]:
        route = self.routes.for_model(model)
        if route is None:
            raise Failure("model_not_found", "The model does not exist.", "model")
        if endpoint.is_rooted and route.kind.name != "ollama":
            raise Failure("not_found", "This model is not served by Ollama.")
        price = self.prices.in_force(model)
        if price is None:
            raise Failure("model_not_priced", "The model has no price.", "model")
        return route, price

    async def ask_for_room(
        self, request: web.BaseRequest, request_id: UUID, identity: Identity, wanted: Wanted
    ) -> Decision:
        ip = client_address(request.remote, request.raw_headers, self.listen.trusted_proxies)
        use = Use(wanted.asked.ask.model, wanted.asked.endpoint.name, ip)
        key_id, wallet_id = identity.key_id, identity.wallet_id
        try:
            return await self.limits.admit(
                Admission(request_id, key_id, wallet_id, wanted.hold_nanos, wanted.tokens, use)
            )
        except LimitsUnavailable as error:
            raise refusals.of_limits(error) from error

    def admitted(
        self, request: web.BaseRequest, request_id: UUID, identity: Identity, wanted: Wanted, decision: Decision
    ) -> Admitted:
        """What was let in; raises the refusal if it was not."""
        if decision.outcome is not Outcome.ADMITTED:
            raise refusals.of_decision(decision, wanted.hold_nanos, wanted.tokens)
        client_id = headers.client_request_id(request.raw_headers)
        endpoint = wanted.asked.endpoint.name
        return Admitted(request_id, identity, wanted.asked, endpoint, wanted.route, wanted.price, client_id)


def _hold_nanos(most: Bound, price: Price) -> int:
    worst = worst_cost_nanos(
        most.input_tokens,
        most.output_tokens,
        price,
        audio_input_tokens=most.audio_input_tokens,
        audio_output_tokens=most.audio_output_tokens,
        images=most.images,
        audio_ms=most.audio_ms,
    )
    return min(worst, MAX_NANOS)
