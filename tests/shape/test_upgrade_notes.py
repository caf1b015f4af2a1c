"""docs/UPGRADING.md says of each migration what it does to a system that runs, and has a note for each version."""

import re

from ledger.migrate import read_migrations
from runtime.version import farebox_version
from tests.shape.tree import ROOT
from tests.support.release_snapshot import FOLDER, migrations_before

PAGE = (ROOT / "docs" / "UPGRADING.md").read_text()
NOTES, MIGRATIONS = PAGE.split("\n## Notes\n", 1)[1].split("\n## Migrations\n", 1)
_VERSION = re.compile(r"^\| (\d+\.\d+\.\d+)(?:, not released yet)? \| \S.* \| \S.* \|$", re.MULTILINE)
_MIGRATION = re.compile(r"^\| (\d{4})(?: to (\d{4}))? \| \S.* \|$", re.MULTILINE)
_RELEASED = re.compile(r"^## \[?(\d+\.\d+\.\d+)", re.MULTILINE)


def test_each_migration_is_there_once() -> None:
    told = [n for first, last in _MIGRATION.findall(MIGRATIONS) for n in range(int(first), int(last or first) + 1)]
    assert told == [migration.number for migration in read_migrations()]


def test_each_version_has_a_note() -> None:
    told = _VERSION.findall(NOTES)
    assert told[0] == farebox_version()
    assert set(_RELEASED.findall((ROOT / "CHANGELOG.md").read_text())) <= set(told)


def test_the_release_before_is_the_newest_that_was_released() -> None:
    """Where none was yet, it is this version as it was before."""
    released = _RELEASED.findall((ROOT / "CHANGELOG.md").read_text())
    assert (FOLDER / "VERSION").read_text().strip() == (released[0] if released else farebox_version())
    assert len(migrations_before()) <= len(read_migrations())
