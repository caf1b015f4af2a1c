"""The table of the account API: who may call what, and what is answered when it goes wrong."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, Protocol

import structlog
from redis.exceptions import RedisError

from accounts.api.answers import error_answer, json_answer
from accounts.api.fields import Body
from accounts.api.shapes import Answer
from accounts.errors import AccountsError, NotAllowed, NotAuthenticated
from accounts.identity import Caller
from ledger.errors import InsufficientFunds, InvalidAmount, LedgerError, WalletNotFound
from runtime.clock import monotonic_ms, wall_ms
from runtime.http.request import Reply, Request
from runtime.http.response import Response
from runtime.http.stream import AnswerStream
from runtime.ids import new_request_id
from runtime.postgres import UNAVAILABLE

log = structlog.get_logger("farebox.api")

Handler = Callable[[Request], Awaitable[Reply]]

_OK = 200
_AWAY: tuple[type[BaseException], ...] = (*UNAVAILABLE, RedisError)
LEDGER_STATUS: Mapping[type[LedgerError], tuple[int, str]] = {
    InvalidAmount: (400, "invalid_amount"),
    InsufficientFunds: (400, "insufficient_funds"),
    WalletNotFound: (404, "wallet_not_found"),
}


class Access(Enum):
    """Who may call a route."""

    USER = auto()
    ADMIN = auto()
    SIGNED = auto()  # no token: the body proves itself
    OPEN = auto()  # no token: it tells nothing of anybody


_BY_TOKEN = frozenset((Access.USER, Access.ADMIN))


class Verifier(Protocol):
    async def verify(self, token: str) -> Caller: ...


@dataclass(frozen=True, slots=True)
class Call:
    """One request; `caller` is None only where access takes no token, `path_value` is empty where a path is exact."""

    request: Request
    caller: Caller | None
    path_value: str = ""

    @property
    def user(self) -> Caller:
        assert self.caller is not None, "this route takes a token"
        return self.caller


@dataclass(frozen=True, slots=True)
class Route:
    """One operation, as it is served and as it is described (OpenAPI).

    `body` and `query` are what a handler parses with `parse_body` and `parse_query`; `answer` is the shape of what it
    returns. `{name}` may end `path`; what stood for it is `Call.path_value`. A handler that streams returns a response,
    and says as `media_type` what it is made of. `refusals` are the errors that this route raises of its own, beyond
    those that access, body and query bring along (see `accounts.api.refusals`).
    """

    method: str
    path: str
    access: Access
    handle: Callable[[Call], Awaitable[Any]]
    summary: str = ""
    body: type[Body] | None = None
    query: type[Body] | None = None
    answer: type[Answer] | None = None
    refusals: tuple[type[AccountsError | LedgerError], ...] = ()
    media_type: str = "application/json"


def table(routes: list[Route], verifier: Verifier) -> dict[tuple[str, str], Handler]:
    """The routes as the server takes them."""
    return {(route.method, route.path): _handler(route, verifier) for route in routes}


def _handler(route: Route, verifier: Verifier) -> Handler:
    async def handle(request: Request, path_value: str = "") -> Reply:
        request_id, began_ms, caller = str(new_request_id(wall_ms())), monotonic_ms(), None
        try:
            caller = await _caller(request, route.access, verifier) if route.access in _BY_TOKEN else None
            result = await route.handle(Call(request, caller, path_value))
        except Exception as error:
            answer = _failed(error, request_id)
        else:
            is_made = isinstance(result, (Response, AnswerStream))
            answer = result if is_made else json_answer(200, result, request_id)
        _log_request(route, caller, answer, monotonic_ms() - began_ms)
        return answer

    return handle


def _log_request(route: Route, caller: Caller | None, answer: Reply, duration_ms: int) -> None:
    """What was asked for is told as the route has it: a path may hold an id. Downloads have their id for themselves."""
    whole = answer if isinstance(answer, Response) else None
    log.info(
        "account_request",
        request_id=None if whole is None else dict(whole.headers).get("x-request-id"),
        user_id=None if caller is None else str(caller.user_id),
        endpoint=f"{route.method} {route.path}",
        status=_OK if whole is None else whole.status,
        streamed=whole is None or None,
        duration_ms=duration_ms,
    )


async def _caller(request: Request, access: Access, verifier: Verifier) -> Caller:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise NotAuthenticated("a bearer token is required")
    caller = await verifier.verify(token.strip())
    if access is Access.ADMIN and not caller.is_admin:
        raise NotAllowed("this is for administrators")
    return caller


def _failed(error: Exception, request_id: str) -> Reply:
    """Every way to fail -> status, code, message. What we did not foresee is logged and not told."""
    if isinstance(error, AccountsError):
        return error_answer(error.status, error.code, str(error), request_id)
    for kind, (status, code) in LEDGER_STATUS.items():
        if isinstance(error, kind):
            return error_answer(status, code, _in_words(error), request_id)
    if isinstance(error, _AWAY):
        log.warning("api_unavailable", request_id=request_id, error=type(error).__name__)
        return error_answer(503, "unavailable", "accounts cannot be reached right now", request_id)
    log.error("api_failed", request_id=request_id, exc_info=error)
    return error_answer(500, "internal_error", "Farebox failed", request_id)


def _in_words(error: Exception) -> str:
    return {
        InvalidAmount: "the amount is zero, has the wrong sign, or takes the balance out of range",
        InsufficientFunds: "the wallet would go below its overdraft",
        WalletNotFound: "there is no such wallet",
    }[type(error)]
