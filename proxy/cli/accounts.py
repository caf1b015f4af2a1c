"""Credits, tokens: what an operator does by hand."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import click

from accounts.claims import Refused, derived_from
from accounts.errors import NotConfigured
from accounts.identity import mint_token
from accounts.wallets import Wallets
from ledger.entries import WalletState
from ledger.errors import WalletNotFound
from ledger.money import format_dollars
from proxy.backends import open_backends
from proxy.cli.options import Dollars, Duration, config_option, json_dollars, json_option, operator, print_result, run
from runtime.clock import wall_ms
from runtime.config import load_as
from runtime.settings import AccountsConfig, IdentityConfig


@asynccontextmanager
async def _wallets(path: Path | None) -> AsyncIterator[Wallets]:
    async with open_backends(load_as(AccountsConfig, path), "farebox-cli") as backends:
        yield Wallets(backends.store, backends.mirror)


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
            return await wallets.give_bonus(user, amount, description, operator())

    _print_wallet(run(work()), as_json)


@credits.command("set")
@_credit_options
def set_balance(user: UUID, amount: int, description: str, config: Path | None, as_json: bool) -> None:
    """Set a wallet's balance, as an adjustment of the difference."""
    if amount < 0:
        raise click.BadParameter("must not be negative", param_hint="--amount")

    async def work() -> WalletState:
        async with _wallets(config) as wallets:
            return await wallets.set_balance(user, amount, description, operator())

    _print_wallet(run(work()), as_json)


@credits.command("refund")
@_credit_options
@click.option("--request", "request_id", type=click.UUID, help="The request it is for; at most what that was debited.")
def refund(
    user: UUID, amount: int, description: str, request_id: UUID | None, config: Path | None, as_json: bool
) -> None:
    """Give back to a wallet that is there."""
    if amount <= 0:
        raise click.BadParameter("must be more than 0", param_hint="--amount")

    async def work() -> WalletState:
        async with _wallets(config) as wallets:
            return await wallets.refund(user, amount, description, operator(), request_id)

    try:
        _print_wallet(run(work()), as_json)
    except WalletNotFound:
        raise WalletNotFound(f"user {user} has no wallet") from None


def _print_wallet(wallet: WalletState, as_json: bool) -> None:
    result = {"wallet_id": wallet.wallet_id, "user_id": wallet.user_id, "balance": json_dollars(wallet.balance_nanos)}
    print_result(result, as_json, f"balance ${format_dollars(wallet.balance_nanos)}")


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


@click.command("user-id")
@click.option("--issuer", required=True, help="The token's `iss`, to the letter.")
@click.option("--subject", required=True, help="The token's `sub`.")
@json_option
def user_id(issuer: str, subject: str, as_json: bool) -> None:
    """The user's id where `identity.subject` is `derived`: what Farebox makes of a token's issuer and subject."""
    try:
        found = derived_from({"iss": issuer, "sub": subject})
    except Refused as refused:
        raise click.BadParameter("must be 1 to 255 ASCII characters", param_hint=f"--{refused.reason}") from None
    print_result({"user_id": found}, as_json, str(found))


COMMANDS = (credits, token, user_id)
