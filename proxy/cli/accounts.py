"""Keys, credits, tokens: what an operator does by hand."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import click

from accounts.errors import KeyNotFound, NotConfigured
from accounts.identity import mint_token
from accounts.key_format import KeyFormat
from accounts.keys import ApiKey, Keys, NewKey
from accounts.wallets import Wallets
from ledger.entries import WalletState
from ledger.money import format_dollars
from metering.bucket import MAX_CAPACITY
from proxy.backends import open_backends
from proxy.cli.options import Dollars, Moment, config_option, json_dollars, json_option, print_result, run
from runtime.clock import wall_ms
from runtime.config import load_as
from runtime.settings import AccountsConfig, IdentityConfig

_BY = "command line"
_LIMIT = click.IntRange(1, MAX_CAPACITY)


@asynccontextmanager
async def _keys(path: Path | None) -> AsyncIterator[Keys]:
    config = load_as(AccountsConfig, path)
    async with open_backends(config, "farebox-cli") as backends:
        yield Keys(backends.pool, backends.mirror, KeyFormat(config.keys.prefix), config.keys.bcrypt_cost)


@asynccontextmanager
async def _wallets(path: Path | None) -> AsyncIterator[Wallets]:
    async with open_backends(load_as(AccountsConfig, path), "farebox-cli") as backends:
        yield Wallets(backends.store, backends.mirror)


@click.group()
def keys() -> None:
    """Make, list and revoke API keys."""


@keys.command("create")
@click.option("--user", type=click.UUID, required=True, help="The owner's id.")
@click.option("--name", required=True)
@click.option("--rpm", type=_LIMIT, default=60, show_default=True, help="Requests per minute.")
@click.option("--rpd", type=_LIMIT, default=1000, show_default=True, help="Requests per day.")
@click.option("--expires", type=Moment())
@config_option
@json_option
def create_key(
    user: UUID, name: str, rpm: int, rpd: int, expires: datetime | None, config: Path | None, as_json: bool
) -> None:
    """Make a key. It is shown this once."""

    async def work() -> tuple[str, ApiKey]:
        async with _keys(config) as keys:
            return await keys.create(NewKey(user, name, rpm, rpd, expires))

    key, row = run(work())
    text = f"{key}\n\nid {row.id}. This is the only time the whole key is shown."
    print_result({"api_key": key, **asdict(row)}, as_json, text)


@keys.command("list")
@click.option("--user", type=click.UUID, required=True)
@config_option
@json_option
def list_keys(user: UUID, config: Path | None, as_json: bool) -> None:
    """A user's keys, newest first; never the keys themselves."""

    async def work() -> list[ApiKey]:
        async with _keys(config) as keys:
            return await keys.of_user(user)

    rows = run(work())
    print_result([asdict(row) for row in rows], as_json, "\n".join(map(_key_line, rows)) or "no keys")


def _key_line(row: ApiKey) -> str:
    state = "active " if row.is_active else "revoked"
    used = f"{row.last_used_at:%Y-%m-%d %H:%M}" if row.last_used_at else "never used"
    limits = f"{row.rate_limit_per_minute}/min {row.rate_limit_per_day}/day"
    return f"{row.id}  {row.key_prefix}…  {state}  {limits}  {used}  {row.name}"


@keys.command("revoke")
@click.argument("key_id", type=click.UUID)
@config_option
@json_option
def revoke_key(key_id: UUID, config: Path | None, as_json: bool) -> None:
    """Refuse a key everywhere, at once and for good."""

    async def work() -> bool:
        async with _keys(config) as keys:
            return await keys.revoke(key_id)

    if not run(work()):
        raise KeyNotFound(f"there is no key {key_id}")
    print_result({"id": key_id, "is_active": False}, as_json, f"revoked {key_id}")


@click.group()
def credits() -> None:
    """Move a wallet's balance."""


def _credit_options(command: Any) -> Any:
    for option in (
        json_option,
        config_option,
        click.option("--description", required=True),
        click.option("--amount", type=Dollars(), required=True, help="Dollars, up to nine decimals."),
        click.option("--user", type=click.UUID, required=True),
    ):
        command = option(command)
    return command


@credits.command("bonus")
@_credit_options
def give_bonus(user: UUID, amount: int, description: str, config: Path | None, as_json: bool) -> None:
    """Add to a wallet."""
    if amount <= 0:
        raise click.BadParameter("must be more than 0", param_hint="--amount")

    async def work() -> WalletState:
        async with _wallets(config) as wallets:
            return await wallets.give_bonus(user, amount, description, _BY)

    _print_wallet(run(work()), as_json)


@credits.command("set")
@_credit_options
def set_balance(user: UUID, amount: int, description: str, config: Path | None, as_json: bool) -> None:
    """Set a wallet's balance, as an adjustment of the difference."""
    if amount < 0:
        raise click.BadParameter("must not be negative", param_hint="--amount")

    async def work() -> WalletState:
        async with _wallets(config) as wallets:
            return await wallets.set_balance(user, amount, description, _BY)

    _print_wallet(run(work()), as_json)


def _print_wallet(wallet: WalletState, as_json: bool) -> None:
    result = {"wallet_id": wallet.wallet_id, "user_id": wallet.user_id, "balance": json_dollars(wallet.balance_nanos)}
    print_result(result, as_json, f"balance ${format_dollars(wallet.balance_nanos)}")


_TTL_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


class Duration(click.ParamType[timedelta]):
    """`90s`, `15m`, `1h`, `30d`."""

    name = "DURATION"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        if isinstance(value, timedelta):
            return value
        number, unit = value[:-1], value[-1:]
        if not number.isdecimal() or unit not in _TTL_UNITS or len(number) > _MAX_TTL_DIGITS:
            self.fail(f"{value!r} is not a number of s, m, h or d", param, ctx)
        return timedelta(seconds=int(number) * _TTL_UNITS[unit])


_MAX_TTL_DIGITS = 5


@click.command()
@click.option("--user", type=click.UUID, required=True)
@click.option("--email")
@click.option("--ttl", type=Duration(), default="1h", show_default=True)
@config_option
@json_option
def token(user: UUID, email: str | None, ttl: timedelta, config: Path | None, as_json: bool) -> None:
    """Mint a user token, where the config holds an HS256 secret."""
    secret = load_as(IdentityConfig, config).identity.jwt_secret
    if secret is None:
        raise NotConfigured("identity.jwt_secret: required to mint tokens (or set FAREBOX_JWT_SECRET)")
    minted = mint_token(user, secret.get_secret_value(), now_ms=wall_ms(), ttl=ttl, email=email)
    print_result({"token": minted}, as_json, minted)


COMMANDS = (keys, credits, token)
