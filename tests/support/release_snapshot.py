"""The SQL of the release before: what it asks of Postgres, kept so that every newer schema is tried with it.

    python -m tests.support.release_snapshot       # when a version is released: this becomes the release before

`tests/data/release` has its query files as they were, `VERSION`, and `MIGRATIONS`, those that it knew.
"""

import shutil
from collections.abc import Mapping
from pathlib import Path

from ledger.migrate import Migration, read_migrations
from runtime.sql import split_queries
from runtime.version import farebox_version

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "tests" / "data" / "release"
ROOMS = ("accounts", "ledger")


def queries_before() -> dict[str, Mapping[str, str]]:
    """File -> name -> query."""
    return {str(path.relative_to(FOLDER)): split_queries(path.read_text()) for path in sorted(FOLDER.rglob("*.sql"))}


def migrations_before() -> list[Migration]:
    known = (FOLDER / "MIGRATIONS").read_text().split()
    found = [migration for migration in read_migrations() if migration.name in known]
    assert [migration.name for migration in found] == known, "applied migrations are not renamed or taken away"
    return found


def take() -> None:
    shutil.rmtree(FOLDER, ignore_errors=True)
    for room in ROOMS:
        (FOLDER / room).mkdir(parents=True)
        for path in sorted((ROOT / room / "sql").glob("*.sql")):
            shutil.copyfile(path, FOLDER / room / path.name)
    (FOLDER / "VERSION").write_text(f"{farebox_version()}\n")
    (FOLDER / "MIGRATIONS").write_text("".join(f"{migration.name}\n" for migration in read_migrations()))


if __name__ == "__main__":
    take()
