"""`/api/ai-api/admin/events`: what happened, who was told, and telling it once more."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import Field

from accounts.api.admin import BASE
from accounts.api.fields import Body, Id
from accounts.api.requests import parse_body, parse_query, read_body
from accounts.api.router import Access, Call, Route
from accounts.api.shapes import Answer, NextCursor
from accounts.errors import EventNotFound
from accounts.filters import MAX_LIMIT
from accounts.notices.outbox import EventKind
from accounts.notices.records import MAX_REPLAYED, DeliveryState, EventFilter, EventRecord, Events
from accounts.pages import DEFAULT_LIMIT

# Longer than any cursor is.
_MAX_CURSOR_CHARS = 128
_CHANNEL = r"^(email|webhook:[A-Za-z0-9._:-]{1,255})$"


class EventsQuery(Body):
    """Which events; what is left out is no bound. `state`: at least one delivery is in it."""

    kind: EventKind | None = None
    userId: Id | None = None
    state: DeliveryState | None = None
    limit: int = Field(default=DEFAULT_LIMIT, ge=1, le=MAX_LIMIT)
    cursor: str | None = Field(default=None, max_length=_MAX_CURSOR_CHARS, description="`nextCursor` of the one before")


class ReplayBody(Body):
    """One event, or without one what was given up, the oldest first; on one channel, or all."""

    eventId: Id | None = None
    channel: str | None = Field(default=None, pattern=_CHANNEL, examples=["email"])


class DeliveryAnswer(Answer):
    channel: str
    state: DeliveryState
    attempts: int
    reason: Annotated[str, Field(description="why the last attempt failed")]
    dueAt: Annotated[datetime | None, Field(description="when it is tried next, while it is pending")]
    finishedAt: datetime | None


class EventAnswer(Answer):
    id: UUID
    kind: str
    userId: UUID
    facts: dict[str, Any]
    createdAt: datetime
    dispatchedAt: Annotated[datetime | None, Field(description="null: not decided yet who is told")]
    deliveries: list[DeliveryAnswer]


class EventsAnswer(Answer):
    success: bool
    events: list[EventAnswer]
    nextCursor: NextCursor


class ReplayAnswer(Answer):
    success: bool
    message: str
    replayed: Annotated[int, Field(description=f"events, or deliveries that were given up: at most {MAX_REPLAYED}")]


@dataclass(frozen=True, slots=True)
class AdminEventRoutes:
    events: Events

    def routes(self) -> list[Route]:
        admin = Access.ADMIN
        return [
            Route("GET", f"{BASE}/events", admin, self.list, "Events and their deliveries, newest first",
                query=EventsQuery, answer=EventsAnswer),
            Route("POST", f"{BASE}/events/replay", admin, self.replay,
                "Deliver an event once more, or what was given up",
                body=ReplayBody, answer=ReplayAnswer, refusals=(EventNotFound,)),
        ]  # fmt: skip

    async def list(self, call: Call) -> Any:
        asked = parse_query(EventsQuery, call.request.query)
        wanted = EventFilter(asked.kind, asked.userId, asked.state)
        page = await self.events.page(wanted, asked.limit, asked.cursor)
        return {"success": True, "events": [_event(row) for row in page.rows], "nextCursor": page.next_cursor}

    async def replay(self, call: Call) -> Any:
        asked = parse_body(ReplayBody, await read_body(call.request))
        actor = str(call.user.user_id)
        if asked.eventId is None:
            count = await self.events.replay_dead(asked.channel, actor)
            return {"success": True, "message": "What was given up is tried again.", "replayed": count}
        await self.events.replay(asked.eventId, asked.channel, actor)
        return {"success": True, "message": "The event is delivered once more.", "replayed": 1}


def _event(row: EventRecord) -> dict[str, Any]:
    return {
        "id": row.id,
        "kind": row.kind,
        "userId": row.user_id,
        "facts": row.facts,
        "createdAt": row.created_at,
        "dispatchedAt": row.dispatched_at,
        "deliveries": [
            {
                "channel": one["channel"],
                "state": one["state"],
                "attempts": one["attempts"],
                "reason": one["reason"],
                "dueAt": one["due_at"] if one["state"] == "pending" else None,
                "finishedAt": one["finished_at"],
            }
            for one in row.deliveries
        ],
    }
