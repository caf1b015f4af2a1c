"""What is read of a request before its meaning is looked at: the key and the body."""

import asyncio

from proxy.failures import Failure, invalid_request
from runtime.http.errors import BodyBroken, BodyTooLarge
from runtime.http.request import Headers, Request


def presented_key(headers: Headers) -> str:
    """The key of `Authorization: Bearer …`, or else of `x-api-key`; raises the 401 that tells what is missing."""
    authorization = headers.get("Authorization")
    if authorization is None:
        key = headers.get("x-api-key")
        if key is None:
            raise _unauthorized("missing_api_key", "No API key: send `Authorization: Bearer <key>`.")
        return key.strip()
    scheme, _, key = authorization.partition(" ")
    key = key.strip()
    if scheme.lower() != "bearer" or not key or " " in key:
        raise _unauthorized("invalid_auth_format", "The Authorization header must be `Bearer <key>`.")
    return key


def _unauthorized(code: str, message: str) -> Failure:
    return Failure(code, message, headers={"www-authenticate": "Bearer"})


def body_at_hand(request: Request, max_bytes: int) -> bytes | None:
    """All of it, where it came with the head, is not packed and not too large; None: see `read_body`."""
    body = request.body
    is_plain = body.is_complete and request.headers.get_raw(b"content-encoding") is None
    return body.take() if is_plain and body.size_bytes <= max_bytes else None


async def read_body(request: Request, max_bytes: int, timeout_s: float) -> bytes:
    """The whole body, at most `max_bytes` of it (the server was given the same limit), within `timeout_s`.

    A body that announces too much is refused before a byte of it is read.
    """
    length = request.content_length
    if length is not None and length > max_bytes:
        raise _too_large(max_bytes)
    try:
        if request.body.is_over:
            return await request.read()
        async with asyncio.timeout(timeout_s):
            return await request.read()
    except BodyTooLarge:
        raise _too_large(max_bytes) from None
    except TimeoutError:
        raise Failure("request_timeout", f"The body did not arrive within {timeout_s:g} seconds.") from None
    except BodyBroken:
        raise invalid_request("The body ended early or is badly encoded.") from None


def _too_large(max_bytes: int) -> Failure:
    return Failure("request_too_large", f"The body is larger than {max_bytes} bytes.")
