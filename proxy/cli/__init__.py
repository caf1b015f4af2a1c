"""The command line. Each module holds the commands of one concern; this one says how they begin and end.

Exit codes: 0 done, 1 failed, 2 wrong usage or configuration.
"""

import sys

import click
from redis.exceptions import RedisError

from accounts.errors import AccountsError
from ledger.errors import LedgerError
from ledger.migrate import MigrationError
from proxy.backends import StartError
from proxy.cli import (
    accounts,
    admin_log,
    audit,
    dead_letters,
    events,
    keys,
    local,
    prices,
    processes,
    reconcile,
    shards,
    smoke,
    wallets,
)
from proxy.health import farebox_version
from proxy.reconcile.snapshots import ReconcileError
from runtime.config import ConfigError
from runtime.embedded.errors import EmbeddedServerError
from runtime.postgres import FAILED as POSTGRES_FAILED

FAILED = 1
WRONG_USAGE = 2
_SERVERS_FAILED: tuple[type[BaseException], ...] = (*POSTGRES_FAILED, RedisError)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(farebox_version(), prog_name="farebox")
def cli() -> None:
    """A metering reverse proxy for LLM servers."""


for command in (
    *processes.COMMANDS,
    *keys.COMMANDS,
    *accounts.COMMANDS,
    *wallets.COMMANDS,
    *admin_log.COMMANDS,
    *prices.COMMANDS,
    *audit.COMMANDS,
    *dead_letters.COMMANDS,
    *reconcile.COMMANDS,
    *events.COMMANDS,
    *local.COMMANDS,
    *smoke.COMMANDS,
    *shards.COMMANDS,
):
    cli.add_command(command)


def main() -> None:
    """Run a command; what an operator can mend is said in a line, without a traceback."""
    try:
        cli(standalone_mode=True)
    except ConfigError as error:
        for problem in error.problems:
            click.echo(f"config: {problem}", err=True)
        sys.exit(WRONG_USAGE)
    except (StartError, EmbeddedServerError, MigrationError, LedgerError, AccountsError, ReconcileError) as error:
        click.echo(f"farebox: {error}", err=True)
        sys.exit(FAILED)
    except _SERVERS_FAILED as error:
        click.echo(f"farebox: {type(error).__name__}: {error}", err=True)
        sys.exit(FAILED)
