"""What happened, noted in its own transaction, to be told later: neither is there without the other."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

import orjson

from ledger.posting import storable
from runtime.postgres import Connection
from runtime.settings.notices import EVENT_KINDS, EventKind
from runtime.sql import load_queries

__all__ = ["EVENT_KINDS", "QUERIES", "EventKind", "announce"]

QUERIES = load_queries("accounts", "sql/events.sql")


async def announce(
    connection: Connection, kind: EventKind, user_id: UUID, facts: Mapping[str, Any], *, once: str
) -> None:
    """Notes an event; the caller holds open the transaction of what happened.

    `once` says what the event is about, in at most 300 characters: a second one with the same is ignored. `facts` are
    flat JSON, money as decimal text of dollars; ids, times and decimals become text. `key.revoked` a trigger announces.
    """
    await connection.execute(QUERIES["announce"], kind, user_id, _json(facts), storable(once))


def _json(facts: Mapping[str, Any]) -> str:
    clean = {name: storable(value) if isinstance(value, str) else value for name, value in facts.items()}
    return orjson.dumps(clean, default=str).decode()
