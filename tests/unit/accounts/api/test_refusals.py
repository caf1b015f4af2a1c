"""What a route may refuse with: what its kind brings along, and its own."""

from typing import Any

import pytest

from accounts.api.fields import Body
from accounts.api.refusals import refusals, status_and_code
from accounts.api.router import Access, Call, Route
from accounts.errors import KeyNotFound
from ledger.errors import InsufficientFunds, WalletNotFound


class Asked(Body):
    """Anything."""


async def handle(_call: Call) -> Any:
    raise NotImplementedError


def codes(access: Access, **more: Any) -> dict[int, list[str]]:
    return {s: list(c) for s, c in refusals(Route("GET", "/x", access, handle, **more)).items() if s < 500}


@pytest.mark.parametrize(
    ("access", "refused"),
    [
        (Access.OPEN, {}),
        (Access.USER, {401: ["invalid_token"]}),
        (Access.ADMIN, {401: ["invalid_token"], 403: ["forbidden"]}),
        (Access.SIGNED, {400: ["invalid_request"], 413: ["request_too_large"], 415: ["unsupported_media_type"]}),
    ],
)
def test_who_may_call_says_how_others_are_refused(access: Access, refused: dict[int, list[str]]) -> None:
    assert codes(access) == refused


def test_what_is_read_can_be_wrong() -> None:
    assert codes(Access.OPEN, query=Asked) == {400: ["invalid_request"]}
    body = {400: ["invalid_request"], 413: ["request_too_large"], 415: ["unsupported_media_type"]}
    assert codes(Access.OPEN, body=Asked) == body
    assert codes(Access.OPEN, body=Asked, query=Asked) == body


def test_a_routes_own_errors_join_the_others_of_their_status() -> None:
    found = codes(Access.OPEN, query=Asked, refusals=(KeyNotFound, WalletNotFound, InsufficientFunds))
    assert found == {400: ["invalid_request", "insufficient_funds"], 404: ["key_not_found", "wallet_not_found"]}


def test_every_route_with_state_may_fail_without_the_callers_doing() -> None:
    found = refusals(Route("GET", "/x", Access.USER, handle))
    assert [(status, list(codes)) for status, codes in found.items() if status >= 500] == [
        (500, ["internal_error"]),
        (503, ["unavailable"]),
    ]


def test_an_error_is_told_in_the_words_of_its_docstring_on_one_line() -> None:
    found = refusals(Route("GET", "/x", Access.OPEN, handle, refusals=(KeyNotFound,)))
    assert found == {404: {"key_not_found": "There is no such key, or it is somebody else's."}}
    assert status_and_code(InsufficientFunds) == (400, "insufficient_funds")
