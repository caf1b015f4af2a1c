"""From the bytes of a request to a checked model. Whatever is wrong is said at once, by field."""

import asyncio
import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, NoReturn, TypeVar

from aiohttp import web
from pydantic import ValidationError

from accounts.api.fields import Body
from accounts.errors import InvalidRequest, TooLarge

AnyBody = TypeVar("AnyBody", bound=Body)

# The longest request holds a description and a few ids.
MAX_BODY_BYTES = 64 << 10
_BODY_TIMEOUT_S = 10.0
_MAX_QUERY_VALUE_CHARS = 512


async def read_body(request: web.BaseRequest, max_bytes: int = MAX_BODY_BYTES) -> bytes:
    """Raises TooLarge, or InvalidRequest where the body does not come whole and in time."""
    if (request.content_length or 0) > max_bytes:
        raise TooLarge(f"the body is longer than {max_bytes} bytes")
    try:
        async with asyncio.timeout(_BODY_TIMEOUT_S):
            body = await request.read()
    except web.HTTPRequestEntityTooLarge:
        raise TooLarge(f"the body is longer than {max_bytes} bytes") from None
    except (TimeoutError, web.RequestPayloadError):
        raise InvalidRequest("the body did not arrive whole") from None
    if len(body) > max_bytes:
        raise TooLarge(f"the body is longer than {max_bytes} bytes")
    return body


def parse_body(kind: type[AnyBody], raw: bytes) -> AnyBody:
    """JSON with numbers kept as they were written; raises InvalidRequest."""
    try:
        fields = json.loads(raw, parse_float=Decimal, parse_constant=_no_number)
    except (ValueError, RecursionError):
        raise InvalidRequest("the body is not valid JSON") from None
    if not isinstance(fields, dict):
        raise InvalidRequest("the body must be a JSON object")
    return _checked(kind, fields)


def parse_query(kind: type[AnyBody], query: Mapping[str, str]) -> AnyBody:
    """The query's values are text: whole numbers are read as such. Raises InvalidRequest."""
    if any(len(value) > _MAX_QUERY_VALUE_CHARS for value in query.values()):
        raise InvalidRequest("a parameter is too long")
    return _checked(kind, {name: _number_or_text(value) for name, value in query.items()})


def _number_or_text(value: str) -> int | str:
    return int(value) if value.isascii() and value.isdecimal() and len(value) <= _MAX_DIGITS else value


# Longer than any count; int() of a very long text is slow on purpose.
_MAX_DIGITS = 18


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def _checked(kind: type[AnyBody], fields: dict[str, Any]) -> AnyBody:
    try:
        return kind.model_validate(fields)
    except ValidationError as error:
        problems = [f"{'.'.join(map(str, e['loc']))}: {e['msg'].removeprefix('Value error, ')}" for e in error.errors()]
        raise InvalidRequest("; ".join(problems)) from None
    except UnicodeEncodeError:
        raise InvalidRequest("the body holds half a character") from None
