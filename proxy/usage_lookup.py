"""`GET /v1/usage/{request_id}`: what one request of this key's owner was counted and charged, and how it ended.

Only what is posted is told, because only that is final: about a second after the request has ended. What is not
there, is not there yet or is somebody else's gets one and the same answer.
"""

import asyncio
from typing import Any, Protocol
from uuid import UUID

import orjson

from accounts.api.answers import dollars
from accounts.api.history_shapes import shown_usage
from accounts.request_usage import RequestUsage
from proxy.callers import Callers
from proxy.failures import Failure, retry_after
from proxy.http.answers import failure_response, json_response, new_id_header
from proxy.http.headers import MAX_CLIENT_ID_CHARS
from runtime.clock import ClockMs, wall_ms
from runtime.coalesce import Overloaded
from runtime.http.request import Request
from runtime.http.response import Response
from runtime.ids import time_of_ms
from runtime.places import Places
from runtime.postgres import UNAVAILABLE

# Of the pool's connections, which key verification and the account API share: an answer takes about a millisecond.
_AT_ONCE = 2
_WAITING = 256
_WAITING_PER_OWNER = 64
# As long as a statement may take, in all: waiting for a turn, for a connection, for the answer.
_TIMEOUT_S = 5.0
# How long after its beginning a request may still be on its way to the books; far more than any stream runs.
_MAY_COME_MS = 24 * 3_600_000
_RETRY_MS = 1_000


class Reader(Protocol):
    """Where the usage is; see accounts.request_usage."""

    async def by_request_id(self, user_id: UUID, request_id: UUID) -> RequestUsage | None: ...
    async def by_client_request_id(self, user_id: UUID, client_request_id: str) -> RequestUsage | None: ...


class UsageLookup:
    def __init__(self, callers: Callers, reader: Reader, clock_ms: ClockMs = wall_ms) -> None:
        self._callers = callers
        self._reader = reader
        self._clock_ms = clock_ms
        self._places = Places(_WAITING, _WAITING_PER_OWNER)
        self._turns = asyncio.Semaphore(_AT_ONCE)

    async def show(self, request: Request, wanted: str) -> Response:
        own = [new_id_header()]
        try:
            identity = await self._callers.identify(request)
            found = await self._read(identity.user_id, wanted)
            if found is None:
                raise not_found(wanted, self._clock_ms())
        except Failure as failure:
            return failure_response(failure, own)
        return json_response(200, [*own, ("cache-control", "no-store")], orjson.dumps(shown(found), default=str))

    async def _read(self, user_id: UUID, wanted: str) -> RequestUsage | None:
        try:
            with self._places.take(user_id):
                async with asyncio.timeout(_TIMEOUT_S), self._turns:
                    return await self._look_up(user_id, wanted)
        except Overloaded:
            raise Failure("overloaded", "Too many look-ups wait.", headers=retry_after(_RETRY_MS)) from None
        except UNAVAILABLE as error:
            message = "Usage cannot be read right now."
            raise Failure("accounts_unavailable", message, headers=retry_after(_RETRY_MS)) from error

    async def _look_up(self, user_id: UUID, wanted: str) -> RequestUsage | None:
        """Clients like UUIDs too: what is no id of ours may be one of theirs."""
        request_id = as_uuid(wanted)
        found = None if request_id is None else await self._reader.by_request_id(user_id, request_id)
        if found is None and is_client_id(wanted):
            found = await self._reader.by_client_request_id(user_id, wanted[:MAX_CLIENT_ID_CHARS])
        return found


def shown(found: RequestUsage) -> dict[str, Any]:
    """The account API's fields of a request, and what was debited for it."""
    charged = dollars(found.row.cost_nanos - found.row.uncollected_nanos)
    fields = {"object": "usage", "client_request_id": found.client_request_id, "charged": charged}
    return fields | shown_usage(found.row)


def as_uuid(wanted: str) -> UUID | None:
    try:
        parsed = UUID(wanted)
    except ValueError:
        return None
    return parsed if str(parsed) == wanted.lower() else None


def is_client_id(wanted: str) -> bool:
    """Postgres can be asked for it: neither NUL nor half a surrogate pair, which no header brings to us either."""
    return "\x00" not in wanted and not any("\ud800" <= char <= "\udfff" for char in wanted)


def not_found(wanted: str, now_ms: int) -> Failure:
    """With `retry-after` where it may only be too early, which an old id of ours is not."""
    request_id = as_uuid(wanted)
    is_old = request_id is not None and request_id.version == 7 and now_ms - time_of_ms(request_id) > _MAY_COME_MS
    message = "No usage is recorded under this id. It is recorded about a second after a request has ended."
    return Failure("usage_not_found", message, headers={} if is_old else retry_after(_RETRY_MS))
