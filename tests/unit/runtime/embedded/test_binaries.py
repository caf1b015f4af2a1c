"""Where the servers are found, and how they are copied to where they can be run."""

import importlib.util
import os
import platform
from pathlib import Path

import pytest

from runtime.embedded import binaries
from runtime.embedded.binaries import PostgresBinaries, copy_postgres, find_postgres, find_valkey
from runtime.embedded.errors import EmbeddedServerError
from runtime.processes import UserIds


@pytest.fixture
def installed(tmp_path: Path) -> PostgresBinaries:
    """The shape of the wheel, without its 70 MB: closed to others, as under a umask of 077."""
    site = tmp_path / "site"
    for name in ("pkg/pginstall18/bin/postgres", "pkg/pginstall18/include/c.h", "pkg.libs/libpq.so"):
        (site / name).parent.mkdir(parents=True, exist_ok=True)
        (site / name).write_text(name)
        (site / name).chmod(0o600)
    return PostgresBinaries(site / "pkg/pginstall18/bin", site / "pkg.libs", "pkg-1.0")


def _nothing(_name: str) -> None:
    return None


def test_a_missing_postgres_says_what_to_install_or_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", _nothing)
    with pytest.raises(EmbeddedServerError) as caught:
        find_postgres()
    assert "pip install 'farebox[embedded]'" in str(caught.value)
    assert "FAREBOX_DATABASE_URL" in str(caught.value)


def test_a_missing_valkey_says_what_to_install_or_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", _nothing)
    with pytest.raises(EmbeddedServerError) as caught:
        find_valkey()
    assert "pip install 'farebox[embedded]'" in str(caught.value)
    assert "FAREBOX_REDIS_URL" in str(caught.value)


@pytest.mark.parametrize(
    ("system", "machine", "expected"),
    [
        ("Linux", "x86_64", "linux-x86_64"),
        ("Linux", "aarch64", "linux-aarch64"),
        ("Darwin", "arm64", "darwin-arm64"),
        ("Darwin", "x86_64", "darwin-x86_64"),
        ("Linux", "riscv64", "linux-unknown"),
    ],
)
def test_machines_are_named_as_the_wheel_names_them(
    monkeypatch: pytest.MonkeyPatch, system: str, machine: str, expected: str
) -> None:
    monkeypatch.setattr(platform, "system", lambda: system)
    monkeypatch.setattr(platform, "machine", lambda: machine)
    assert binaries.platform_folder() == expected


def test_a_copy_keeps_the_places_that_the_rpath_names(installed: PostgresBinaries, tmp_path: Path) -> None:
    copied = copy_postgres(installed, tmp_path / "shared")
    assert copied.libs_dir is not None
    libraries = Path(os.path.normpath(copied.bin_dir / "../../../pkg.libs"))
    assert libraries == copied.libs_dir
    assert (libraries / "libpq.so").read_text() == "pkg.libs/libpq.so"
    assert not (copied.bin_dir.parent / "include").exists()


def test_a_copy_can_be_run_by_all_and_written_by_us_only(installed: PostgresBinaries, tmp_path: Path) -> None:
    old_umask = os.umask(0o077)
    try:
        copied = copy_postgres(installed, tmp_path / "shared")
    finally:
        os.umask(old_umask)
    on_the_way = [copied.bin_dir / "postgres", copied.bin_dir, *copied.bin_dir.parents[:4]]
    assert [path.stat().st_mode & 0o777 for path in on_the_way] == [0o755] * 6
    assert on_the_way[-1] == tmp_path / "shared"


def test_a_copy_is_used_again(installed: PostgresBinaries, tmp_path: Path) -> None:
    first = copy_postgres(installed, tmp_path / "shared")
    inode = (first.bin_dir / "postgres").stat().st_ino
    assert copy_postgres(installed, tmp_path / "shared") == first
    assert (first.bin_dir / "postgres").stat().st_ino == inode


def test_a_copy_that_fails_leaves_nothing(installed: PostgresBinaries, tmp_path: Path) -> None:
    broken = PostgresBinaries(installed.bin_dir, tmp_path / "missing", "pkg-1.0")
    with pytest.raises(FileNotFoundError):
        copy_postgres(broken, tmp_path / "shared")
    assert list((tmp_path / "shared").iterdir()) == []


def test_of_two_copiers_the_slower_uses_what_the_quicker_made(
    installed: PostgresBinaries, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def also_copied_by_another(unfinished: Path) -> None:
        monkeypatch.undo()
        copy_postgres(installed, tmp_path / "shared")
        assert unfinished.exists()

    monkeypatch.setattr(binaries, "_open_to_all", also_copied_by_another)
    copied = copy_postgres(installed, tmp_path / "shared")
    assert (copied.bin_dir / "postgres").exists()
    assert [path.name for path in (tmp_path / "shared").iterdir()] == ["pkg-1.0"]


def test_what_we_run_ourselves_is_not_copied(installed: PostgresBinaries, tmp_path: Path) -> None:
    assert binaries.reachable_postgres(installed, None, tmp_path / "shared") == installed
    assert not (tmp_path / "shared").exists()


def test_what_the_user_cannot_reach_is_copied(installed: PostgresBinaries, tmp_path: Path) -> None:
    installed.bin_dir.chmod(0o700)
    used = binaries.reachable_postgres(installed, UserIds(54321, 54321), tmp_path / "shared")
    assert used.bin_dir.is_relative_to(tmp_path / "shared" / "binaries")


def test_the_version_is_the_servers_own_word(tmp_path: Path) -> None:
    program = tmp_path / "postgres"
    program.write_text("#!/bin/sh\necho 'postgres (PostgreSQL) 19.2 (Some OS 1-2)'\n")
    program.chmod(0o755)
    assert binaries.postgres_major(PostgresBinaries(tmp_path, None, "x"), None) == 19


def test_a_postgres_that_cannot_be_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(EmbeddedServerError, match=str(tmp_path)):
        binaries.postgres_major(PostgresBinaries(tmp_path, None, "x"), None)
