"""`GET /v1/models`: the models this key may use and that have a price."""

import orjson
from aiohttp import web

from metering.admission import Limits, LimitsUnavailable
from proxy import refusals
from proxy.failures import Failure, invalid_api_key
from proxy.http.answers import failure_response, json_response, new_id_header
from proxy.http.body import presented_key
from proxy.keys import KeyVerifier
from proxy.prices import PriceBook
from proxy.routing import Routes
from runtime.clock import wall_ms


class ModelList:
    """Answers in OpenAI's shape."""

    def __init__(self, verifier: KeyVerifier, limits: Limits, prices: PriceBook, routes: Routes) -> None:
        self._verifier = verifier
        self._limits = limits
        self._prices = prices
        self._routes = routes

    async def list(self, request: web.BaseRequest) -> web.StreamResponse:
        own = [new_id_header()]
        try:
            identity = await self._verifier.verify(presented_key(request.headers))
            if not await self._limits.key_is_good(identity.key_id, identity.wallet_id, wall_ms()):
                raise invalid_api_key()
        except LimitsUnavailable as error:
            return failure_response(refusals.of_limits(error), own)
        except Failure as failure:
            return failure_response(failure, own)
        served = [model for model in self._prices.models() if self._routes.for_model(model) is not None]
        models = [{"id": model, "object": "model", "created": 0, "owned_by": "farebox"} for model in served]
        return json_response(200, own, orjson.dumps({"object": "list", "data": models}))
