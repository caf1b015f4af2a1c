"""Everything that is not a completion: models, health, metrics, the books."""

from dataclasses import asdict
from urllib.parse import parse_qs

import orjson

from runtime.simulator import responses
from runtime.simulator.errors import Refused
from runtime.simulator.metrics import CONTENT_TYPE
from runtime.simulator.reading import Request
from runtime.simulator.settings import SimulatorSettings
from runtime.simulator.totals import Books

CHAT = b"/v1/chat/completions"
_METHODS = {
    CHAT: (b"POST",),
    b"/v1/models": (b"GET",),
    b"/healthz": (b"GET",),
    b"/metrics": (b"GET",),
    b"/simulator/totals": (b"GET",),
    b"/simulator/requests": (b"GET", b"DELETE"),
}
MODELS_CREATED = 1_700_000_000  # when the models say they were made; any fixed time would do


def check_key(request: Request, settings: SimulatorSettings) -> None:
    """Raises Refused (401) unless the request carries the key the server was started with."""
    if settings.api_key is None:
        return
    key = settings.api_key.encode()
    if key in (request.header(b"api-key"), request.header(b"x-api-key")):  # as Azure and Anthropic are given theirs
        return
    given = request.header(b"authorization")
    if given is None:
        raise Refused(401, "You didn't provide an API key.", code="missing_api_key")
    if given != b"Bearer " + key:
        raise Refused(401, "Incorrect API key provided.", code="invalid_api_key")


def answer(request: Request, settings: SimulatorSettings, books: Books) -> bytes:
    """The whole answer to a request for anything but a completion; raises Refused."""
    path, _, query = request.target.partition(b"?")
    _check_route(request.method, path)
    if path == b"/healthz":
        return responses.json_answer({"status": "ok"}, close=request.close)
    if path == b"/v1/models":
        check_key(request, settings)
        return responses.json_answer(_models(settings.models), close=request.close)
    if path == b"/metrics":
        return _metrics(request, books)
    if path == b"/simulator/totals":
        return responses.json_answer(asdict(books.totals()), close=request.close)
    if request.method == b"DELETE":
        books.reset()
        return responses.json_answer({"reset": True}, close=request.close)
    wanted = parse_qs(query.decode("latin-1")).get("request_id", [None])
    return responses.whole(200, orjson.dumps(books.records(wanted[0])), close=request.close)


def _metrics(request: Request, books: Books) -> bytes:
    page = books.metrics()
    if page is None:
        raise Refused(404, "There is nothing here.", code="not_found")
    return responses.whole(200, page, close=request.close, content_type=CONTENT_TYPE)


def _check_route(method: bytes, path: bytes) -> None:
    methods = _METHODS.get(path)
    if methods is None:
        raise Refused(404, "There is nothing here.", code="not_found")
    if method not in methods:
        raise Refused(405, "This method is not allowed here.", code="method_not_allowed")


def _models(models: tuple[str, ...]) -> dict[str, object]:
    return {
        "object": "list",
        "data": [
            {"id": model, "object": "model", "created": MODELS_CREATED, "owned_by": "farebox-simulator"}
            for model in models
        ],
    }
