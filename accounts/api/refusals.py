"""What a route may refuse with, by status and code: what its kind brings along, and what it names itself."""

from collections import defaultdict
from typing import TypeAlias

from accounts.api.router import LEDGER_STATUS, Access, Route
from accounts.errors import (
    AccountsError,
    InvalidRequest,
    NotAllowed,
    NotAuthenticated,
    TooLarge,
    UnsupportedMediaType,
)
from ledger.errors import LedgerError

# Status -> code -> when.
Refusals: TypeAlias = dict[int, dict[str, str]]

_BY_ACCESS: dict[Access, tuple[type[AccountsError], ...]] = {
    Access.USER: (NotAuthenticated,),
    Access.ADMIN: (NotAuthenticated, NotAllowed),
    Access.SIGNED: (InvalidRequest, TooLarge, UnsupportedMediaType),
    Access.OPEN: (),
}
# Of what no route is safe: see `accounts.api.router`.
_ALWAYS: Refusals = {
    500: {"internal_error": "A fault in Farebox."},
    503: {"unavailable": "Postgres or Redis cannot be reached right now; trying again later helps."},
}


def refusals(route: Route) -> Refusals:
    """Everything but success, lowest status first."""
    found: Refusals = defaultdict(dict)
    for kind in _kinds(route):
        status, code = status_and_code(kind)
        found[status][code] = _when(kind)
    if route.access is not Access.OPEN:
        for status, codes in _ALWAYS.items():
            found[status] |= codes
    return {status: found[status] for status in sorted(found)}


def status_and_code(kind: type[AccountsError | LedgerError]) -> tuple[int, str]:
    return (kind.status, kind.code) if issubclass(kind, AccountsError) else LEDGER_STATUS[kind]


def _kinds(route: Route) -> list[type[AccountsError | LedgerError]]:
    kinds: list[type[AccountsError | LedgerError]] = list(_BY_ACCESS[route.access])
    if route.body is not None or route.query is not None:
        kinds.append(InvalidRequest)
    if route.body is not None:
        kinds += (TooLarge, UnsupportedMediaType)
    return [*kinds, *route.refusals]


def _when(kind: type[Exception]) -> str:
    """The first paragraph of an error's docstring, on one line."""
    return " ".join((kind.__doc__ or "").split("\n\n")[0].split())
