"""What a user wants to be told and where, read and changed under that user's database role."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol
from uuid import UUID

import structlog
from cachetools import LRUCache

from accounts.as_user import as_user
from accounts.identity import Caller
from ledger.money import from_decimal, to_decimal
from runtime.postgres import UNAVAILABLE, Pool
from runtime.sql import load_queries

log = structlog.get_logger("farebox.notices")

_QUERIES = load_queries("accounts", "sql/notice_settings.sql")
# Callers whose address this process has written down; of others it is written once more.
_MAX_REMEMBERED = 10_000


@dataclass(frozen=True, slots=True)
class Choices:
    """A user's own; None: none, so what is configured counts. `token_email` is what the user's tokens tell."""

    email: str | None = None
    token_email: str | None = None
    low_balance_nanos: int | None = None
    email_events: tuple[str, ...] | None = None


class Preferences:
    """All methods raise runtime.postgres.UNAVAILABLE while Postgres is away."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def of_user(self, user_id: UUID) -> Choices:
        async with as_user(self._pool, user_id) as connection:
            row = await connection.fetchrow(_QUERIES["own"], user_id)
        return Choices() if row is None else _choices(row)

    async def choose(self, user_id: UUID, changes: Mapping[str, Any]) -> Choices:
        """Keeps those of `email`, `low_balance_nanos` and `email_events` that are in `changes`; None takes one back."""
        threshold = changes.get("low_balance_nanos")
        parameters = (
            changes.get("email"),
            "email" in changes,
            None if threshold is None else to_decimal(threshold),
            "low_balance_nanos" in changes,
            changes.get("email_events"),
            "email_events" in changes,
        )
        async with as_user(self._pool, user_id) as connection:
            row = await connection.fetchrow(_QUERIES["choose"], user_id, *parameters)
        return _choices(row)

    async def remember(self, user_id: UUID, token_email: str) -> None:
        """Not as the user: what a token says is not the user's to change."""
        await self._pool.execute(_QUERIES["remember"], user_id, token_email)


def _choices(row: Any) -> Choices:
    threshold, events = row["low_balance_threshold"], row["email_events"]
    return Choices(
        row["email"],
        row["token_email"],
        None if threshold is None else from_decimal(threshold),
        None if events is None else tuple(events),
    )


class Verifier(Protocol):
    async def verify(self, token: str) -> Caller: ...


class Addresses(Protocol):
    async def remember(self, user_id: UUID, token_email: str) -> None: ...


class RememberingVerifier:
    """Notes the address of whoever calls, so that mails have somewhere to go before the user has chosen anything.

    A call does not fail for it: while Postgres is away the next one tries again.
    """

    def __init__(self, verifier: Verifier, addresses: Addresses) -> None:
        self._verifier = verifier
        self._addresses = addresses
        self._known: LRUCache[UUID, str] = LRUCache(_MAX_REMEMBERED)

    async def verify(self, token: str) -> Caller:
        """Raises what the verifier raises."""
        caller = await self._verifier.verify(token)
        if caller.email is not None and self._known.get(caller.user_id) != caller.email:
            await self._note(caller.user_id, caller.email)
        return caller

    async def _note(self, user_id: UUID, email: str) -> None:
        try:
            await self._addresses.remember(user_id, email)
        except UNAVAILABLE as error:
            log.warning("address_not_kept", error=type(error).__name__)
        else:
            self._known[user_id] = email
