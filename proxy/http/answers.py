"""Responses from what was decided: a whole answer, a failure."""

from accounts.api.answers import error_answer
from proxy.failures import Failure
from runtime.clock import wall_ms
from runtime.http.response import HeaderList, Response
from runtime.ids import new_request_id

_ACCOUNT_API = "/api/ai-api/"
_JSON = ("content-type", "application/json")


def new_id_header() -> tuple[str, str]:
    """`x-request-id` of an answer to what never became a request of somebody's."""
    return ("x-request-id", str(new_request_id(wall_ms())))


def failure_response(failure: Failure, own_headers: HeaderList, body: bytes | None = None) -> Response:
    """`body`: the failure in the words of another API than OpenAI's."""
    headers = [_JSON, *own_headers, *failure.headers.items()]
    return Response(failure.status, headers, failure.body() if body is None else body)


def json_response(status: int, headers: HeaderList, body: bytes) -> Response:
    return Response(status, [_JSON, *headers], body)


def nothing_at(path: str) -> Response:
    """A path that is not there, or not with this method, in the shape of the routes that it lies among."""
    name, request_id = new_id_header()
    if path.startswith(_ACCOUNT_API):
        return error_answer(404, "not_found", "there is nothing at this path, or not with this method", request_id)
    return failure_response(Failure("not_found", "There is nothing at this path."), [(name, request_id)])
