"""JSON answers: money as numbers exact to nine decimals, errors as `{"error", "code"}`."""

from typing import Any

import orjson

from ledger.money import format_dollars
from runtime.http.response import Response

# Of a person's account nothing may stay in a shared cache.
_HEADERS = [("content-type", "application/json"), ("cache-control", "no-store")]


def dollars(nanos: int) -> orjson.Fragment:
    """A JSON number of dollars; a float could not hold nine decimals of every amount."""
    return orjson.Fragment(format_dollars(nanos))


def json_answer(status: int, body: Any, request_id: str) -> Response:
    """UUIDs and times become strings."""
    return _answer(status, orjson.dumps(body, default=str), request_id)


def error_answer(status: int, code: str, message: str, request_id: str) -> Response:
    return _answer(status, orjson.dumps({"error": message, "code": code}), request_id)


def _answer(status: int, body: bytes, request_id: str) -> Response:
    return Response(status, [*_HEADERS, ("x-request-id", request_id)], body)
