"""`GET /v1/models` and `/v1/models/{id}`: the models this key may use and that have a price."""

from collections.abc import Sequence
from typing import Any

import orjson

from metering.policy import Policy
from proxy.callers import Callers
from proxy.failures import Failure
from proxy.http.answers import failure_response, json_response, new_id_header
from proxy.prices import PriceBook
from proxy.routing import Routes
from runtime.http.request import Request
from runtime.http.response import Response


class ModelList:
    """Answers in OpenAI's shape."""

    def __init__(self, callers: Callers, prices: PriceBook, routes: Routes) -> None:
        self._callers = callers
        self._prices = prices
        self._routes = routes

    async def list(self, request: Request) -> Response:
        own = [new_id_header()]
        try:
            _, policy = await self._callers.identify_with_policy(request)
        except Failure as failure:
            return failure_response(failure, own)
        models = [_shown(model) for model in self._usable(policy)]
        return json_response(200, own, orjson.dumps({"object": "list", "data": models}))

    async def one(self, request: Request, model: str) -> Response:
        """A model that is not in the list is not there."""
        own = [new_id_header()]
        try:
            _, policy = await self._callers.identify_with_policy(request)
            if model not in self._usable(policy):
                raise Failure("model_not_found", "The model does not exist.", "model")
        except Failure as failure:
            return failure_response(failure, own)
        return json_response(200, own, orjson.dumps(_shown(model)))

    def _usable(self, policy: Policy) -> Sequence[str]:
        served = [model for model in self._prices.models() if self._routes.for_model(model) is not None]
        return [model for model in served if policy.allows_model(model)]


def _shown(model: str) -> dict[str, Any]:
    return {"id": model, "object": "model", "created": 0, "owned_by": "farebox"}
