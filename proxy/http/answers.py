"""aiohttp responses from what was decided: a whole answer, a failure."""

from aiohttp import web

from accounts.api.answers import error_answer
from proxy.failures import Failure
from runtime.clock import wall_ms
from runtime.ids import new_request_id

HeaderList = list[tuple[str, str]]
_ACCOUNT_API = "/api/ai-api/"
_JSON = ("content-type", "application/json")


def new_id_header() -> tuple[str, str]:
    """`x-request-id` of an answer to what never became a request of somebody's."""
    return ("x-request-id", str(new_request_id(wall_ms())))


def whole_response(status: int, headers: HeaderList, body: bytes) -> web.Response:
    """The upstream's answer as it came; no header is made up for it."""
    response = web.Response(status=status, body=body)
    response.headers.clear()
    response.headers.extend(headers)
    return response


def failure_response(failure: Failure, own_headers: HeaderList, body: bytes | None = None) -> web.Response:
    """`body`: the failure in the words of another API than OpenAI's."""
    headers = [_JSON, *own_headers, *failure.headers.items()]
    return whole_response(failure.status, headers, failure.body() if body is None else body)


def json_response(status: int, headers: HeaderList, body: bytes) -> web.Response:
    return whole_response(status, [_JSON, *headers], body)


def nothing_at(path: str) -> web.Response:
    """A path that is not there, or not with this method, in the shape of the routes that it lies among."""
    name, request_id = new_id_header()
    if path.startswith(_ACCOUNT_API):
        return error_answer(404, "not_found", "there is nothing at this path, or not with this method", request_id)
    return failure_response(Failure("not_found", "There is nothing at this path."), [(name, request_id)])
