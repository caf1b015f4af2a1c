"""What operators see of events and their deliveries, and replay."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

import orjson

from accounts.admin_log import Act, record_act
from accounts.as_admin import as_admin
from accounts.cursors import Listing, Position, decode_cursor, encode_cursor
from accounts.errors import EventNotFound
from accounts.filters import check_limit
from accounts.notices.outbox import QUERIES, EventKind
from accounts.pages import DEFAULT_LIMIT, Page
from runtime.postgres import Pool

DeliveryState = Literal["pending", "delivered", "dead"]
# Of one replay of dead letters: what a receiver that has come back can be asked to take at once.
MAX_REPLAYED = 1000
_MAX_NUMBER = 2**63 - 1  # of a bigint; a cursor may say more
# Cursors belong to a user; this list belongs to nobody.
_NOBODY = UUID(int=0)


@dataclass(frozen=True, slots=True)
class EventRecord:
    """`dispatched_at` None: not decided yet who is told.

    `deliveries` have `channel`, `state`, `attempts`, `reason`, `due_at` and `finished_at`.
    """

    id: UUID
    number: int
    kind: str
    user_id: UUID
    facts: Mapping[str, Any]
    created_at: datetime
    dispatched_at: datetime | None
    deliveries: Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class EventFilter:
    """None is no bound; `state`: at least one delivery is in it."""

    kind: EventKind | None = None
    user_id: UUID | None = None
    state: DeliveryState | None = None


EVERYTHING = EventFilter()


class Events:
    """Raises InvalidRequest or EventNotFound, runtime.postgres.UNAVAILABLE while Postgres is away."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def page(
        self, wanted: EventFilter = EVERYTHING, limit: int = DEFAULT_LIMIT, cursor: str | None = None
    ) -> Page[EventRecord]:
        """Newest first."""
        check_limit(limit)
        after = None if cursor is None else decode_cursor(Listing.EVENTS, _NOBODY, cursor)
        place = (None, None) if after is None else (after.created_at, min(after.tie, _MAX_NUMBER))
        async with as_admin(self._pool) as connection:  # one more than asked for tells whether there are more
            found = await connection.fetch(
                QUERIES["page"], wanted.kind, wanted.user_id, wanted.state, *place, limit + 1
            )  # fmt: skip
        shown = tuple(_record(row) for row in found[:limit])
        return Page(shown, _cursor(shown[-1]) if len(found) > limit else None)

    async def one(self, event_id: UUID) -> EventRecord:
        row = await self._pool.fetchrow(QUERIES["one"], event_id)
        if row is None:
            raise EventNotFound(f"there is no event {event_id}")
        return _record(row)

    async def replay(self, event_id: UUID, channel: str | None, actor: str) -> None:
        """Delivered once more: to all it went to and whoever wants it now, or on one channel. Its id stays the same."""
        async with self._pool.acquire() as connection, connection.transaction():
            user_id = await connection.fetchval(QUERIES["replay"], event_id, channel)
            if user_id is None:
                raise EventNotFound(f"there is no event {event_id}")
            about = None if channel is None else {"channel": channel}
            await record_act(connection, Act(actor, "event.replay", "event", str(event_id), user_id, None, about, ""))

    async def replay_dead(self, channel: str | None, actor: str) -> int:
        """Tries again what was given up, on one channel or all; how many, at most MAX_REPLAYED."""
        async with self._pool.acquire() as connection, connection.transaction():
            count: int = await connection.fetchval(QUERIES["replay_dead"], channel, MAX_REPLAYED)
            if count:
                about = Act(actor, "event.replay_dead", "channel", channel or "all", None, None, {"count": count}, "")
                await record_act(connection, about)
        return count


def _cursor(last: EventRecord) -> str:
    return encode_cursor(Listing.EVENTS, _NOBODY, Position(last.created_at, last.number))


def _record(row: Any) -> EventRecord:
    fields = dict(row)
    facts, deliveries = orjson.loads(fields.pop("facts")), orjson.loads(fields.pop("deliveries"))
    return EventRecord(**fields, facts=facts, deliveries=deliveries)
