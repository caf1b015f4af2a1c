"""Wallets, seen and held by an operator: who has what, who may spend, how far below nothing."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import click

from accounts.filters import MAX_LIMIT
from accounts.pages import DEFAULT_LIMIT, Page
from accounts.users import Order, SortBy, UserRow, Users, first_day
from accounts.wallets import Wallets
from ledger.entries import WalletState
from ledger.errors import WalletNotFound
from ledger.money import format_dollars
from proxy.backends import open_backends, open_pool
from proxy.cli.options import Dollars, Moment, config_option, json_dollars, json_option, operator, print_result, run
from runtime.clock import wall_ms
from runtime.config import load_as
from runtime.settings import AccountsConfig, DatabaseConfig

_user_option = click.option("--user", type=click.UUID, required=True)
_reason_option = click.option("--reason", default="", help="Why, for the log of what operators did.")


@asynccontextmanager
async def _wallets(path: Path | None) -> AsyncIterator[Wallets]:
    async with open_backends(load_as(AccountsConfig, path), "farebox-cli") as backends:
        yield Wallets(backends.store, backends.mirror)


@click.group()
def wallets() -> None:
    """Who has what; freeze a wallet, or let it go below nothing."""


@wallets.command("list")
@click.option("--sort", type=click.Choice(["balance", "spend"]), default="spend", show_default=True)
@click.option("--order", type=click.Choice(["asc", "desc"]), default="desc", show_default=True)
@click.option("--since", type=Moment(), help="The day (UTC) from which spending counts.  [default: 30 days ago]")
@click.option("--limit", type=click.IntRange(1, MAX_LIMIT), default=DEFAULT_LIMIT, show_default=True)
@click.option("--cursor", help="Where the page before ended.")
@config_option
@json_option
def list_wallets(
    sort: SortBy,
    order: Order,
    since: datetime | None,
    limit: int,
    cursor: str | None,
    config: Path | None,
    as_json: bool,
) -> None:
    """Users by balance, or by what they spent."""
    day = first_day(since, wall_ms())

    async def work() -> Page[UserRow]:
        pool = await open_pool(load_as(DatabaseConfig, config).database, "farebox-cli")
        try:
            return await Users(pool).page(sort, order, day, limit, cursor)
        finally:
            await pool.close()

    page = run(work())
    lines = [f"spent since {day} (UTC)", *map(_line, page.rows)] if page.rows else ["no wallets"]
    if page.next_cursor is not None:
        lines.append(f"\nmore: --cursor {page.next_cursor}")
    result = {"wallets": [_json(row) for row in page.rows], "next_cursor": page.next_cursor}
    print_result(result, as_json, "\n".join(lines))


def _line(row: UserRow) -> str:
    used = f"{row.last_used_at:%Y-%m-%d %H:%M}" if row.last_used_at else "never used"
    state = "frozen" if row.is_frozen else "      "
    balance, spent = (f"${format_dollars(nanos)}" for nanos in (row.balance_nanos, row.spent_nanos))
    return f"{row.user_id}  {balance:>16}  spent {spent:>16} in {row.requests} requests  {state}  {used}"


def _json(row: UserRow) -> dict[str, Any]:
    return {
        "user_id": row.user_id,
        "wallet_id": row.wallet_id,
        "balance": json_dollars(row.balance_nanos),
        "overdraft": json_dollars(row.overdraft_nanos),
        "spent": json_dollars(row.spent_nanos),
        "requests": row.requests,
        "last_used_at": row.last_used_at,
        "is_frozen": row.is_frozen,
        "created_at": row.created_at,
    }


@wallets.command("freeze")
@_user_option
@_reason_option
@config_option
@json_option
def freeze_wallet(user: UUID, reason: str, config: Path | None, as_json: bool) -> None:
    """Let nothing more be spent from a wallet; credits still come in."""
    _freeze(user, True, reason, config, as_json)


@wallets.command("unfreeze")
@_user_option
@_reason_option
@config_option
@json_option
def unfreeze_wallet(user: UUID, reason: str, config: Path | None, as_json: bool) -> None:
    """Let a frozen wallet go."""
    _freeze(user, False, reason, config, as_json)


def _freeze(user: UUID, frozen: bool, reason: str, config: Path | None, as_json: bool) -> None:
    async def work() -> bool:
        async with _wallets(config) as wallets:
            return await wallets.freeze(user, frozen, reason, operator())

    try:
        changed = run(work())
    except WalletNotFound:
        raise _no_wallet(user) from None
    said = f"{'frozen' if frozen else 'not frozen'}{'' if changed else ' already'}: the wallet of {user}"
    print_result({"user_id": user, "is_frozen": frozen, "changed": changed}, as_json, said)


@wallets.command("overdraft")
@_user_option
@click.option("--amount", type=Dollars(), required=True, help="Dollars below nothing that the balance may go.")
@_reason_option
@config_option
@json_option
def set_overdraft(user: UUID, amount: int, reason: str, config: Path | None, as_json: bool) -> None:
    """Say how far below nothing a wallet may go."""
    if amount < 0:
        raise click.BadParameter("must not be negative", param_hint="--amount")

    async def work() -> WalletState:
        async with _wallets(config) as wallets:
            return await wallets.set_overdraft(user, amount, reason, operator())

    try:
        wallet = run(work())
    except WalletNotFound:
        raise _no_wallet(user) from None
    amounts = {"balance": wallet.balance_nanos, "overdraft": wallet.overdraft_nanos}
    result = {"wallet_id": wallet.wallet_id, "user_id": user} | {k: json_dollars(v) for k, v in amounts.items()}
    print_result(result, as_json, f"overdraft ${format_dollars(wallet.overdraft_nanos)}")


def _no_wallet(user: UUID) -> WalletNotFound:
    return WalletNotFound(f"user {user} has no wallet")


COMMANDS = (wallets,)
