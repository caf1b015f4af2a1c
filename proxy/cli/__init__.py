"""The command line. Each module holds the commands of one concern; this one says how they begin and end.

Exit codes: 0 done, 1 failed, 2 wrong usage or configuration.
"""

import sys
from importlib import import_module

import click

from runtime.garbage import uncollected
from runtime.lean import lean
from runtime.version import farebox_version

# Command -> the module that it stands in, which is imported when it is asked for: the commands of people would take a
# fifth of a second of each start of `farebox serve`.
_HOMES = {
    "admin-log": "admin_log",
    "audit": "audit",
    "check-config": "serve",
    "credits": "accounts",
    "dead-letters": "dead_letters",
    "events": "events",
    "keys": "keys",
    "ledger": "ledger",
    "migrate": "migrate",
    "prices": "prices",
    "reconcile": "reconcile",
    "reshard": "shards",
    "retention": "retention",
    "serve": "serve",
    "simulate": "simulate",
    "smoke": "smoke",
    "token": "accounts",
    "up": "local",
    "user-id": "accounts",
    "wallets": "wallets",
    "worker": "serve",
}


class _Commands(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(_HOMES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        home = _HOMES.get(cmd_name)
        if home is None:
            return None
        commands: tuple[click.Command, ...] = import_module(f"proxy.cli.{home}").COMMANDS
        return next(command for command in commands if command.name == cmd_name)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(farebox_version(), prog_name="farebox")
def cli() -> None:
    """A metering reverse proxy for LLM servers."""


def main() -> None:
    """Run a command; what an operator can mend is said in a line, without a traceback."""
    with uncollected(), lean():
        for home in filter(None, map(_HOMES.get, sys.argv[1:2])):
            import_module(f"proxy.cli.{home}")
    # here, because it imports what is to be imported without all that it could have
    from runtime import logs

    logs.configure("warning")  # to stderr: on stdout is what a command prints. Those that serve say how much they log
    try:
        cli(prog_name="farebox")
    except Exception as error:
        # here, because it imports the errors of everything
        from proxy.cli.endings import ending_of

        ending = ending_of(error)
        if ending is None:
            raise
        for line in ending.lines:
            click.echo(line, err=True)
        sys.exit(ending.exit_code)
