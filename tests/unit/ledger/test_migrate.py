from dataclasses import replace

import pytest

from ledger.migrate import MigrationError, read_migrations, unapplied


def test_files_are_numbered_from_one_without_gaps() -> None:
    migrations = read_migrations()
    assert [migration.number for migration in migrations] == list(range(1, len(migrations) + 1))
    assert all(migration.name.startswith(f"{migration.number:04d}_") for migration in migrations)


def test_what_was_applied_is_not_applied_again() -> None:
    known = read_migrations()
    applied = {migration.number: (migration.name, migration.checksum) for migration in known[:2]}
    assert unapplied(known, applied) == known[2:]


def test_a_migration_changed_after_it_was_applied_is_an_error() -> None:
    known = read_migrations()
    applied = {1: (known[0].name, replace(known[0], sql="SELECT 1").checksum)}
    with pytest.raises(MigrationError, match=known[0].name):
        unapplied(known, applied)


def test_a_database_newer_than_the_code_is_an_error() -> None:
    with pytest.raises(MigrationError, match="9999_future"):
        unapplied(read_migrations(), {9999: ("9999_future", "")})
