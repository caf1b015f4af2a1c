"""From the bytes of a request to a checked model. Whatever is wrong is said at once, by field."""

import asyncio
import json
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, NoReturn, TypeVar

from pydantic import ValidationError

from accounts.api.fields import Body
from accounts.errors import InvalidRequest, TooLarge, UnsupportedMediaType
from runtime.http.errors import BodyBroken, BodyTooLarge
from runtime.http.request import Request

AnyBody = TypeVar("AnyBody", bound=Body)

# The longest request holds a description and a few ids.
MAX_BODY_BYTES = 64 << 10
_BODY_TIMEOUT_S = 10.0
_MAX_QUERY_VALUE_CHARS = 512
# What HTTP clients say of bytes, of text, and curl of anything, where nobody said what it is: read as JSON.
_SAY_NOTHING = frozenset(("application/octet-stream", "text/plain", "application/x-www-form-urlencoded"))
# Of a field that does not exist, so much of its name is said back.
_MAX_NAMED_CHARS = 64
# Mistakes told at once; a body has at most some ten fields.
_MAX_PROBLEMS = 20


async def read_body(request: Request, max_bytes: int = MAX_BODY_BYTES) -> bytes:
    """Raises TooLarge, UnsupportedMediaType, or InvalidRequest where the body does not come whole and in time."""
    if not _may_be_json(request.content_type):
        raise UnsupportedMediaType("the body must be JSON: send `content-type: application/json`")
    if (request.content_length or 0) > max_bytes:
        raise TooLarge(f"the body is longer than {max_bytes} bytes")
    try:
        async with asyncio.timeout(_BODY_TIMEOUT_S):
            body = await request.read()
    except BodyTooLarge:
        raise TooLarge(f"the body is longer than {max_bytes} bytes") from None
    except (TimeoutError, BodyBroken):
        raise InvalidRequest("the body did not arrive whole") from None
    if len(body) > max_bytes:
        raise TooLarge(f"the body is longer than {max_bytes} bytes")
    return body


def parse_body(kind: type[AnyBody], raw: bytes) -> AnyBody:
    """JSON with numbers kept as they were written; raises InvalidRequest."""
    try:
        fields = json.loads(raw, parse_float=Decimal, parse_constant=_no_number, object_pairs_hook=_object)
    except (ValueError, ArithmeticError, RecursionError):  # an exponent of 30 digits is more than a Decimal takes
        raise InvalidRequest("the body is not valid JSON") from None
    if not isinstance(fields, dict):
        raise InvalidRequest("the body must be a JSON object")
    return _checked(kind, fields)


def parse_query(kind: type[AnyBody], query: Sequence[tuple[str, str]]) -> AnyBody:
    """The query's values are text: whole numbers are read as such. Raises InvalidRequest."""
    if any(len(value) > _MAX_QUERY_VALUE_CHARS for _, value in query):
        raise InvalidRequest("a parameter is too long")
    fields = {name: _number_or_text(value) for name, value in query}
    if len(fields) < len(query):
        raise InvalidRequest("a parameter comes twice")
    return _checked(kind, fields)


def _may_be_json(content_type: str) -> bool:
    return content_type == "application/json" or content_type in _SAY_NOTHING or content_type.endswith("+json")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Parsers differ on which of two equal names counts: whoever reads along may have understood the other."""
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise InvalidRequest("a field comes twice")
    return fields


def _number_or_text(value: str) -> int | str:
    """Only what is written as numbers are: a model may be called 007."""
    is_number = value.isascii() and value.isdecimal() and (value == "0" or value[0] != "0")
    return int(value) if is_number and len(value) <= _MAX_DIGITS else value


# Longer than any count; int() of a very long text is slow on purpose.
_MAX_DIGITS = 18


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def _checked(kind: type[AnyBody], fields: dict[str, Any]) -> AnyBody:
    try:
        return kind.model_validate(fields)
    except ValidationError as error:
        raise InvalidRequest("; ".join(_in_words(problem) for problem in error.errors()[:_MAX_PROBLEMS])) from None
    except UnicodeEncodeError:
        raise InvalidRequest("the body holds half a character") from None


def _in_words(problem: Any) -> str:
    """`name: what is wrong`. The name may be the client's own, of a field that does not exist."""
    name = ".".join(map(str, problem["loc"]))[:_MAX_NAMED_CHARS]
    return f"{name.encode(errors='replace').decode()}: {problem['msg'].removeprefix('Value error, ')}"
