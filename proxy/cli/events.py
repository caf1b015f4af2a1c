"""`farebox events`: what happened, who was told, and telling it once more."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, get_args
from uuid import UUID

import click
import orjson

from accounts.filters import MAX_LIMIT
from accounts.notices.outbox import EVENT_KINDS, EventKind
from accounts.notices.records import DeliveryState, EventFilter, EventRecord, Events
from accounts.pages import DEFAULT_LIMIT, Page
from proxy.backends import open_pool
from proxy.cli.options import config_option, json_option, operator, print_result, run
from runtime.config import load_as
from runtime.settings import DatabaseConfig


@asynccontextmanager
async def _events(path: Path | None) -> AsyncIterator[Events]:
    pool = await open_pool(load_as(DatabaseConfig, path).database, "farebox-cli")
    try:
        yield Events(pool)
    finally:
        await pool.close()


@click.group()
def events() -> None:
    """What people and endpoints are told of, and how far that is."""


@events.command("list")
@click.option("--kind", type=click.Choice(EVENT_KINDS))
@click.option("--user", type=click.UUID)
@click.option("--state", type=click.Choice(get_args(DeliveryState)), help="At least one delivery is in it.")
@click.option("--limit", type=click.IntRange(1, MAX_LIMIT), default=DEFAULT_LIMIT, show_default=True)
@click.option("--cursor", help="Where the page before ended.")
@config_option
@json_option
def list_events(
    kind: EventKind | None,
    user: UUID | None,
    state: DeliveryState | None,
    limit: int,
    cursor: str | None,
    config: Path | None,
    as_json: bool,
) -> None:
    """Events, newest first."""
    wanted = EventFilter(kind, user, state)

    async def work() -> Page[EventRecord]:
        async with _events(config) as events:
            return await events.page(wanted, limit, cursor)

    page = run(work())
    lines = [*map(_line, page.rows)] or ["no events"]
    if page.next_cursor is not None:
        lines.append(f"\nmore: --cursor {page.next_cursor}")
    result = {"events": [asdict(row) for row in page.rows], "next_cursor": page.next_cursor}
    print_result(result, as_json, "\n".join(lines))


@events.command("show")
@click.argument("event_id", type=click.UUID)
@config_option
@json_option
def show_event(event_id: UUID, config: Path | None, as_json: bool) -> None:
    """One event and its deliveries."""

    async def work() -> EventRecord:
        async with _events(config) as events:
            return await events.one(event_id)

    row = run(work())
    facts = orjson.dumps(row.facts, option=orjson.OPT_INDENT_2).decode()
    print_result(asdict(row), as_json, "\n".join([_line(row), facts, *map(_delivery, row.deliveries)]))


def _delivery(one: Mapping[str, Any]) -> str:
    next_at = f"next {one['due_at']}" if one["state"] == "pending" else ""
    parts = (one["channel"], one["state"], f"{one['attempts']} attempts", next_at, one["reason"])
    return "  " + "  ".join(part for part in parts if part)


def _line(row: EventRecord) -> str:
    told = " ".join(f"{one['channel']}={one['state']}" for one in row.deliveries)
    state = told or ("nobody is told" if row.dispatched_at else "not decided yet")
    return f"{row.created_at:%Y-%m-%d %H:%M:%S}  {row.id}  {row.kind:16}  {row.user_id}  {state}"


@events.command("replay")
@click.argument("event_id", type=click.UUID, required=False)
@click.option("--dead", is_flag=True, help="What was given up, the oldest thousand.")
@click.option("--channel", help="On this channel alone: email, or webhook: and a name.")
@config_option
@json_option
def replay(event_id: UUID | None, dead: bool, channel: str | None, config: Path | None, as_json: bool) -> None:
    """Deliver one event once more, or with --dead what was given up."""
    if (event_id is not None) == dead:
        raise click.UsageError("give either an event's id or --dead")

    async def work() -> int:
        async with _events(config) as events:
            if event_id is None:
                return await events.replay_dead(channel, operator())
            await events.replay(event_id, channel, operator())
            return 1

    count = run(work())
    what = "deliveries" if dead else "event"
    print_result({"replayed": count}, as_json, f"{count} {what} tried again")


COMMANDS = (events,)
