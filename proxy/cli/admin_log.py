"""`farebox admin-log`: what administrators and operators did."""

from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import click
import orjson

from accounts.admin_log import AdminLog, LogFilter, LoggedAct
from accounts.filters import MAX_LIMIT
from accounts.pages import DEFAULT_LIMIT, Page
from proxy.backends import open_pool
from proxy.cli.options import Moment, config_option, json_option, print_result, run
from runtime.config import load_as
from runtime.settings import DatabaseConfig


@click.command("admin-log")
@click.option("--user", type=click.UUID, help="Whose wallet or keys.")
@click.option("--actor", help="Who did it: a user id, or cli: and a name.")
@click.option("--action", help="What was done: wallet.freeze.")
@click.option("--since", type=Moment())
@click.option("--limit", type=click.IntRange(1, MAX_LIMIT), default=DEFAULT_LIMIT, show_default=True)
@click.option("--cursor", help="Where the page before ended.")
@config_option
@json_option
def admin_log(
    user: UUID | None,
    actor: str | None,
    action: str | None,
    since: datetime | None,
    limit: int,
    cursor: str | None,
    config: Path | None,
    as_json: bool,
) -> None:
    """What administrators and operators did through Farebox, newest first."""
    wanted = LogFilter(actor, action, user, since)

    async def work() -> Page[LoggedAct]:
        pool = await open_pool(load_as(DatabaseConfig, config).database, "farebox-cli")
        try:
            return await AdminLog(pool).page(wanted, limit, cursor)
        finally:
            await pool.close()

    page = run(work())
    lines = [*map(_line, page.rows)] or ["nothing"]
    if page.next_cursor is not None:
        lines.append(f"\nmore: --cursor {page.next_cursor}")
    print_result({"log": [_json(row) for row in page.rows], "next_cursor": page.next_cursor}, as_json, "\n".join(lines))


def _line(row: LoggedAct) -> str:
    act = row.act
    before, after = (orjson.dumps(facts).decode() for facts in (act.before, act.after))
    return f"{row.at:%Y-%m-%d %H:%M:%S}  {act.actor}  {act.action}  {act.target_id}  {before} -> {after}  {act.reason}"


def _json(row: LoggedAct) -> dict[str, Any]:
    act = row.act
    return {
        "id": row.id,
        "at": row.at,
        "actor": act.actor,
        "action": act.action,
        "target_kind": act.target_kind,
        "target_id": act.target_id,
        "user_id": act.user_id,
        "before": act.before,
        "after": act.after,
        "reason": act.reason,
    }


COMMANDS = (admin_log,)
