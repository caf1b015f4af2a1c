"""`farebox migrate`."""

from pathlib import Path

import click

from ledger.migrate import migrate
from proxy.backends import open_pool
from proxy.cli.options import config_option, json_option, print_result, run
from runtime.config import load_as
from runtime.settings import DatabaseConfig


@click.command("migrate")
@config_option
@json_option
def migrate_database(config: Path | None, as_json: bool) -> None:
    """Bring the database to this version's schema."""
    database = load_as(DatabaseConfig, config).database

    async def work() -> list[str]:
        await (await open_pool(database, "farebox-migrate")).close()
        return await migrate(database.url.get_secret_value())

    applied = run(work())
    print_result({"applied": applied}, as_json, "\n".join(f"applied {name}" for name in applied) or "up to date")


COMMANDS = (migrate_database,)
