"""The address in a token is written down once, and never in the way."""

from uuid import UUID

import pytest

from accounts.errors import NotAuthenticated
from accounts.identity import Caller
from accounts.notices.preferences import RememberingVerifier

ANN, BOB = UUID(int=1), UUID(int=2)


class Tokens:
    async def verify(self, token: str) -> Caller:
        """`1:a@example.com` is a token of user 1."""
        if token == "bad":
            raise NotAuthenticated("the token is not valid")
        number, _, email = token.partition(":")
        return Caller(UUID(int=int(number)), False, email or None)


class Book:
    def __init__(self) -> None:
        self.noted: list[tuple[UUID, str]] = []
        self.is_away = False

    async def remember(self, user_id: UUID, token_email: str) -> None:
        if self.is_away:
            raise ConnectionError
        self.noted.append((user_id, token_email))


async def test_each_address_is_noted_once() -> None:
    book = Book()
    verifier = RememberingVerifier(Tokens(), book)
    for token in ("1:a@x.org", "1:a@x.org", "2:b@x.org", "1", "1:new@x.org", "1:new@x.org"):
        assert (await verifier.verify(token)).user_id.int == int(token[0])
    assert book.noted == [(ANN, "a@x.org"), (BOB, "b@x.org"), (ANN, "new@x.org")]


async def test_a_call_does_not_fail_for_it_and_the_next_tries_again() -> None:
    book = Book()
    verifier = RememberingVerifier(Tokens(), book)
    book.is_away = True
    assert (await verifier.verify("1:a@x.org")).email == "a@x.org"
    book.is_away = False
    await verifier.verify("1:a@x.org")
    assert book.noted == [(ANN, "a@x.org")]


async def test_a_bad_token_stays_bad() -> None:
    book = Book()
    with pytest.raises(NotAuthenticated):
        await RememberingVerifier(Tokens(), book).verify("bad")
    assert book.noted == []
