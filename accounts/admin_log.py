"""The log of what administrators did: who, what, to what, before, after, why. Lines are only ever added.

A line is written in the transaction of the act itself: neither is there without the other. What an operator changes
by SQL is not in it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson

from accounts.as_admin import as_admin
from accounts.cursors import Listing, Position, decode_cursor, encode_cursor
from accounts.errors import InvalidRequest
from accounts.filters import Filter, check_limit, check_text
from accounts.pages import DEFAULT_LIMIT, Page
from ledger.posting import storable
from runtime.postgres import Connection, Pool
from runtime.sql import load_queries

_QUERIES = load_queries("accounts", "sql/admin_log.sql")
# As the table's own bounds.
MAX_ACTOR_CHARS = 200
MAX_REASON_CHARS = 500
_MAX_ACTION_CHARS = 65
_MAX_ID = 2**63 - 1  # of a bigint; a cursor may say more
# Cursors belong to a user; this list belongs to nobody.
_NOBODY = UUID(int=0)


@dataclass(frozen=True, slots=True)
class Act:
    """One act. `actor` is an administrator's user id, or `cli:` and a name; `action` is dotted: `wallet.freeze`.

    `user_id` is whose wallet or key it was, if anybody's. `before` and `after` hold what changed, as JSON; money as
    decimal text of dollars. Raises InvalidRequest for a reason or an actor that is too long.
    """

    actor: str
    action: str
    target_kind: str
    target_id: str
    user_id: UUID | None
    before: Mapping[str, Any] | None
    after: Mapping[str, Any] | None
    reason: str

    def __post_init__(self) -> None:
        if len(self.reason) > MAX_REASON_CHARS:
            raise InvalidRequest(f"the reason or description is longer than {MAX_REASON_CHARS} characters")
        if len(self.actor) > MAX_ACTOR_CHARS:
            raise InvalidRequest(f"the actor's name is longer than {MAX_ACTOR_CHARS} characters")


@dataclass(frozen=True, slots=True)
class LoggedAct:
    id: int
    at: datetime
    act: Act


@dataclass(frozen=True, slots=True)
class LogFilter:
    """`start` <= at < `end`; None is no bound. Raises InvalidRequest for what no line could match."""

    actor: str | None = None
    action: str | None = None
    user_id: UUID | None = None
    start: datetime | None = None
    end: datetime | None = None

    def __post_init__(self) -> None:
        Filter(self.start, self.end)  # which checks the two
        if self.actor is not None:
            check_text("actor", self.actor, MAX_ACTOR_CHARS)
        if self.action is not None:
            check_text("action", self.action, _MAX_ACTION_CHARS)


EVERYTHING = LogFilter()


async def record_act(connection: Connection, act: Act) -> None:
    """Adds a line; the caller holds open the transaction that the act itself is done in."""
    await connection.execute(
        _QUERIES["insert"],
        storable(act.actor),
        act.action,
        act.target_kind,
        storable(act.target_id),
        act.user_id,
        _json(act.before),
        _json(act.after),
        storable(act.reason),
    )


class AdminLog:
    """Raises InvalidRequest for bad input, runtime.postgres.UNAVAILABLE while Postgres is away."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def page(
        self, wanted: LogFilter = EVERYTHING, limit: int = DEFAULT_LIMIT, cursor: str | None = None
    ) -> Page[LoggedAct]:
        """Newest first."""
        check_limit(limit)
        after = None if cursor is None else decode_cursor(Listing.ADMIN_LOG, _NOBODY, cursor)
        place = (None, None) if after is None else (after.created_at, min(after.tie, _MAX_ID))
        bounds = (wanted.start, wanted.end, wanted.actor, wanted.action, wanted.user_id)
        async with as_admin(self._pool) as connection:  # one line more than asked for tells whether there are more
            found = await connection.fetch(_QUERIES["page"], *bounds, *place, limit + 1)
        shown = tuple(_logged(row) for row in found[:limit])
        return Page(shown, _cursor(shown[-1]) if len(found) > limit else None)


def _cursor(last: LoggedAct) -> str:
    return encode_cursor(Listing.ADMIN_LOG, _NOBODY, Position(last.at, last.id))


def _logged(row: Any) -> LoggedAct:
    fields = dict(row)
    number, at = fields.pop("id"), fields.pop("at")
    before, after = (None if text is None else orjson.loads(text) for text in (fields["before"], fields["after"]))
    return LoggedAct(number, at, Act(**fields | {"before": before, "after": after}))


def _json(facts: Mapping[str, Any] | None) -> str | None:
    """Ids, times and decimals become strings."""
    return None if facts is None else orjson.dumps(dict(facts), default=str).decode()
