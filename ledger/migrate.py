"""Brings a database to the schema this code was written for: numbered SQL files, each applied once, in order.

Each runs in its own transaction together with its line in `farebox_migrations`. Two processes that migrate at once
queue on an advisory lock, which a session holds: connect to Postgres itself, not through a pooler that shares sessions.
"""

import hashlib
import re
from dataclasses import dataclass
from importlib import resources

import asyncpg
import structlog

from runtime.postgres import CONNECT_TIMEOUT_S, Connection

log = structlog.get_logger("farebox.migrate")

LOCK_KEY = 0x6661726562  # "fareb" in ASCII: only has to be no other program's
# A migration may rewrite a large table while another waits for its turn.
MIGRATION_TIMEOUT_S = 3600.0
_FILE_NAME = re.compile(r"^(\d{4})_[a-z0-9_]+\.sql$")
_CREATE_HISTORY = """
CREATE TABLE IF NOT EXISTS farebox_migrations (
    number     integer PRIMARY KEY,
    name       text NOT NULL,
    checksum   text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
)"""


class MigrationError(Exception):
    """The database's history of migrations is not one this code can continue."""


@dataclass(frozen=True, slots=True)
class Migration:
    number: int
    name: str
    sql: str

    @property
    def checksum(self) -> str:
        return hashlib.sha256(self.sql.encode()).hexdigest()


def read_migrations() -> list[Migration]:
    """All files of sql/migrations in order. Raises MigrationError for a bad name or a gap in the numbering."""
    found = []
    for file in (resources.files("ledger") / "sql" / "migrations").iterdir():
        if (match := _FILE_NAME.match(file.name)) is None:
            raise MigrationError(f"not a migration's name: {file.name}")
        found.append(Migration(int(match[1]), file.name.removesuffix(".sql"), file.read_text(encoding="utf-8")))
    found.sort(key=lambda migration: migration.number)
    if [migration.number for migration in found] != list(range(1, len(found) + 1)):
        raise MigrationError(f"numbers are not 1, 2, 3 …: {[migration.name for migration in found]}")
    return found


def unapplied(known: list[Migration], applied: dict[int, tuple[str, str]]) -> list[Migration]:
    """What is left to do, given number -> (name, checksum) of what was done. Raises MigrationError if they disagree."""
    by_number = {migration.number: migration for migration in known}
    for number, (name, checksum) in sorted(applied.items()):
        if (migration := by_number.get(number)) is None:
            raise MigrationError(f"the database has migration {name}, unknown to this version: upgrade Farebox")
        if migration.checksum != checksum:
            raise MigrationError(f"migration {name} was changed after it was applied: restore it, add a new one")
    return [migration for migration in known if migration.number not in applied]


async def pending(connection: Connection) -> list[str]:
    """Names of this version's migrations that are not applied yet; reads only.

    The database may have newer ones, of a version that runs beside this one: they do not concern us.
    """
    applied = await _read_history(connection)
    return [migration.name for migration in read_migrations() if migration.number not in applied]


async def migrate(url: str) -> list[str]:
    """Applies what is missing and returns the names. Raises MigrationError or what Postgres said."""
    connection = await asyncpg.connect(url, timeout=CONNECT_TIMEOUT_S, command_timeout=MIGRATION_TIMEOUT_S)
    try:
        # The lock ends with the session, also when this process is killed.
        await connection.execute("SELECT pg_advisory_lock($1)", LOCK_KEY)
        return await _apply_pending(connection)
    finally:
        await connection.close()


async def _apply_pending(connection: Connection) -> list[str]:
    todo = unapplied(read_migrations(), await _read_history(connection))
    if todo:
        await connection.execute(_CREATE_HISTORY)
    for migration in todo:
        async with connection.transaction():
            await connection.execute(migration.sql)
            await connection.execute(
                "INSERT INTO farebox_migrations (number, name, checksum) VALUES ($1, $2, $3)",
                migration.number, migration.name, migration.checksum,
            )  # fmt: skip
        log.info("migration_applied", migration=migration.name)
    return [migration.name for migration in todo]


async def _read_history(connection: Connection) -> dict[int, tuple[str, str]]:
    if await connection.fetchval("SELECT to_regclass('farebox_migrations')") is None:
        return {}
    rows = await connection.fetch("SELECT number, name, checksum FROM farebox_migrations")
    return {row["number"]: (row["name"], row["checksum"]) for row in rows}
