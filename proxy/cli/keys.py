"""Keys: made, listed, changed, rotated, frozen, revoked by an operator, who is not bound by what users may ask for."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import click

from accounts.api.key_shapes import shown
from accounts.errors import KeyNotFound
from accounts.key_acts import KeyActs
from accounts.key_changes import Rotated
from accounts.key_format import KeyFormat
from accounts.keys import ApiKey, Keys, NewKey
from proxy.backends import Backends, open_backends
from proxy.cli.key_options import CLEARABLE, KeyName, given, key_lines, setting_options
from proxy.cli.options import Duration, config_option, json_option, operator, print_result, run
from runtime.config import load_as
from runtime.settings import AccountsConfig

_SHOWN_ONCE = "This is the only time the whole key is shown."


@asynccontextmanager
async def _opened(path: Path | None) -> AsyncIterator[tuple[Backends, Keys]]:
    config = load_as(AccountsConfig, path)
    async with open_backends(config, "farebox-cli") as backends:
        key_format = KeyFormat(config.keys.prefix)
        yield backends, Keys(backends.pool, backends.mirror, key_format, config.keys.bcrypt_cost)


_reason_option = click.option("--reason", default="", help="Why, for the log of what operators did.")


@click.group()
def keys() -> None:
    """Make, list, change, rotate, freeze and revoke API keys."""


@keys.command("create")
@click.option("--user", type=click.UUID, required=True, help="The owner's id.")
@click.option("--name", type=KeyName(), required=True)
@setting_options
@_reason_option
@config_option
@json_option
def create_key(user: UUID, name: str, reason: str, config: Path | None, as_json: bool, **settings: Any) -> None:
    """Make a key. It is shown this once. Unless said: 60 requests a minute, 1000 a day, and no other restriction."""
    wanted = NewKey(user, name, **given(settings))

    async def work() -> tuple[str, ApiKey]:
        async with _opened(config) as (_, keys):
            return await keys.create(wanted, by=operator(), reason=reason)

    key, row = run(work())
    print_result({"api_key": key, **shown(row)}, as_json, f"{key}\n\nid {row.id}. {_SHOWN_ONCE}")


@keys.command("list")
@click.option("--user", type=click.UUID, required=True)
@config_option
@json_option
def list_keys(user: UUID, config: Path | None, as_json: bool) -> None:
    """A user's keys, newest first; never the keys themselves."""

    async def work() -> list[ApiKey]:
        async with _opened(config) as (_, keys):
            return await keys.of_user(user)

    rows = run(work())
    print_result([shown(row) for row in rows], as_json, "\n".join(map(key_lines, rows)) or "no keys")


@keys.command("update")
@click.argument("key_id", type=click.UUID)
@click.option("--name", type=KeyName())
@setting_options
@click.option("--clear", type=click.Choice(list(CLEARABLE)), multiple=True, help="Take this restriction away.")
@_reason_option
@config_option
@json_option
def update_key(
    key_id: UUID,
    name: str | None,
    clear: tuple[str, ...],
    reason: str,
    config: Path | None,
    as_json: bool,
    **settings: Any,
) -> None:
    """Change a key that is in force. What is not said stays; a list that is said replaces the one before."""
    changes = given(settings) | ({} if name is None else {"name": name})
    cleared = {CLEARABLE[option]: None for option in clear}
    if both := cleared.keys() & changes.keys():
        raise click.UsageError(f"both set and cleared: {', '.join(sorted(both))}")
    if not changes and not cleared:
        raise click.UsageError("there is nothing to change")

    async def work() -> ApiKey:
        async with _opened(config) as (_, keys):
            return await keys.change(key_id, changes | cleared, by=operator(), reason=reason)

    row = run(work())
    print_result(shown(row), as_json, key_lines(row))


@keys.command("rotate")
@click.argument("key_id", type=click.UUID)
@click.option("--grace", type=Duration(), default="1h", show_default=True, help="How long the old key stays good.")
@_reason_option
@config_option
@json_option
def rotate_key(key_id: UUID, grace: timedelta, reason: str, config: Path | None, as_json: bool) -> None:
    """Replace a key by a new one with the same settings, shown this once. The old one ends after the grace period."""

    async def work() -> Rotated:
        async with _opened(config) as (_, keys):
            return await keys.rotate(key_id, int(grace.total_seconds()), by=operator(), reason=reason)

    rotated = run(work())
    result = {
        "api_key": rotated.key,
        **shown(rotated.row),
        "old_key_id": rotated.old_id,
        "old_key_ends_at": rotated.old_ends_at,
    }
    ends = f"{rotated.old_id} ends {rotated.old_ends_at:%Y-%m-%d %H:%M:%S} UTC."
    print_result(result, as_json, f"{rotated.key}\n\nid {rotated.row.id}. {_SHOWN_ONCE}\n{ends}")


@keys.command("revoke")
@click.argument("key_id", type=click.UUID)
@_reason_option
@config_option
@json_option
def revoke_key(key_id: UUID, reason: str, config: Path | None, as_json: bool) -> None:
    """Refuse a key everywhere, at once and for good."""

    async def work() -> None:
        async with _opened(config) as (backends, _):
            await KeyActs(backends.pool, backends.mirror).revoke(key_id, reason, operator())

    try:
        run(work())
    except KeyNotFound:
        raise KeyNotFound(f"there is no key {key_id}") from None
    print_result({"id": key_id, "is_active": False}, as_json, f"revoked {key_id}")


@keys.command("freeze")
@click.argument("key_id", type=click.UUID)
@_reason_option
@config_option
@json_option
def freeze_key(key_id: UUID, reason: str, config: Path | None, as_json: bool) -> None:
    """Refuse a key everywhere, at once, until it is let go; its owner cannot change it meanwhile."""
    _freeze(key_id, True, reason, config, as_json)


@keys.command("unfreeze")
@click.argument("key_id", type=click.UUID)
@_reason_option
@config_option
@json_option
def unfreeze_key(key_id: UUID, reason: str, config: Path | None, as_json: bool) -> None:
    """Let a frozen key go."""
    _freeze(key_id, False, reason, config, as_json)


def _freeze(key_id: UUID, frozen: bool, reason: str, config: Path | None, as_json: bool) -> None:
    async def work() -> bool:
        async with _opened(config) as (backends, _):
            return await KeyActs(backends.pool, backends.mirror).freeze(key_id, frozen, reason, operator())

    changed = run(work())
    said = f"{'frozen' if frozen else 'let go'}{'' if changed else ' already'} {key_id}"
    print_result({"id": key_id, "is_frozen": frozen, "changed": changed}, as_json, said)


COMMANDS = (keys,)
