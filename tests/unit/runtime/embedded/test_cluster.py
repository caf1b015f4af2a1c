"""A cluster is whole, of the right version and of the right owner, or it is refused with a reason."""

import os
from pathlib import Path

import pytest

from runtime.embedded import cluster
from runtime.embedded.binaries import PostgresBinaries
from runtime.embedded.cluster import Site, check_cluster, clear_stale_pid, clear_unfinished
from runtime.embedded.errors import EmbeddedServerError
from runtime.embedded.folder import FolderLock
from runtime.processes import UserIds
from tests.support.waiting import names_in


def site(folder: Path, initdb: str = "exit 1", user: UserIds | None = None) -> Site:
    """A Postgres 18 whose initdb is a shell script; it finds its own data folder in $data."""
    program = folder / "bin" / "initdb"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nfor a; do case $a in --pgdata=*) data="${{a#*=}}";; esac; done\n{initdb}\n')
    program.chmod(0o755)
    return Site(PostgresBinaries(program.parent, None, "x"), 18, user, folder, folder / "log")


def made_by(folder: Path, version: str) -> None:
    (folder / cluster.CLUSTER).mkdir()
    (folder / cluster.CLUSTER / "PG_VERSION").write_text(f"{version}\n")


async def prepare(place: Site) -> None:
    lock = await FolderLock.take(place.folder, "Postgres")
    try:
        await cluster.prepare(place, "secret", lock, sync=True, timeout_s=30)
    finally:
        lock.release()


async def test_initdb_makes_a_cluster_and_leaves_no_password(tmp_path: Path) -> None:
    place = site(tmp_path, 'echo 18 > "$data/PG_VERSION"')
    await prepare(place)
    assert (place.data / "PG_VERSION").exists()
    assert names_in(tmp_path) == ["bin", "cluster", "farebox.lock", "log"]


async def test_the_password_reaches_initdb_in_a_file_that_others_cannot_read(tmp_path: Path) -> None:
    script = f'echo 18 > "$data/PG_VERSION"; ls -l "{tmp_path}/{cluster.PASSWORD}"; cat "{tmp_path}/{cluster.PASSWORD}"'
    place = site(tmp_path, script + '; echo "$@"')
    await prepare(place)
    listing, password, arguments = place.log_path.read_text().splitlines()
    assert listing.startswith("-rw-------")
    assert password == "secret"
    assert "secret" not in arguments


async def test_an_initdb_that_fails_is_quoted_and_leaves_neither_cluster_nor_password(tmp_path: Path) -> None:
    place = site(tmp_path, "echo no space left; exit 2")
    with pytest.raises(EmbeddedServerError, match=r"(?s)exit code 2.*no space left"):
        await prepare(place)
    assert not place.data.exists()
    assert not (tmp_path / cluster.PASSWORD).exists()


async def test_an_initdb_that_hangs_is_ended(tmp_path: Path) -> None:
    place = site(tmp_path, "exec sleep 300")
    lock = await FolderLock.take(tmp_path, "Postgres")
    with pytest.raises(EmbeddedServerError, match="did not finish"):
        await cluster.prepare(place, "secret", lock, sync=True, timeout_s=0.05)
    lock.release()
    assert not (tmp_path / cluster.PASSWORD).exists()


async def test_what_an_interrupted_initdb_left_is_made_again(tmp_path: Path) -> None:
    (tmp_path / cluster.UNFINISHED / "base").mkdir(parents=True)
    (tmp_path / cluster.PASSWORD).write_text("old\n")
    place = site(tmp_path, '[ -e "$data/base" ] && exit 9; echo 18 > "$data/PG_VERSION"')
    await prepare(place)
    assert (place.data / "PG_VERSION").exists()
    assert not (tmp_path / cluster.UNFINISHED).exists()


async def test_an_existing_cluster_is_not_made_again(tmp_path: Path) -> None:
    made_by(tmp_path, "18")
    await prepare(site(tmp_path, "exit 9"))


def test_clearing_nothing_is_no_error(tmp_path: Path) -> None:
    clear_unfinished(tmp_path)
    assert names_in(tmp_path) == []


def test_another_version_is_refused_with_both_named_and_a_way_out(tmp_path: Path) -> None:
    made_by(tmp_path, "16")
    with pytest.raises(EmbeddedServerError, match=r"made by Postgres 16, .* is Postgres 18, .*dump it .*--reset"):
        check_cluster(site(tmp_path))


def test_another_owner_is_refused(tmp_path: Path) -> None:
    made_by(tmp_path, "18")
    with pytest.raises(EmbeddedServerError, match=f"belongs to user id {os.geteuid()}, .* as user id 54321"):
        check_cluster(site(tmp_path, user=UserIds(54321, 54321)))


def test_something_else_under_that_name_is_refused(tmp_path: Path) -> None:
    (tmp_path / cluster.CLUSTER).mkdir()
    with pytest.raises(EmbeddedServerError, match="not a Postgres data folder"):
        check_cluster(site(tmp_path))


@pytest.mark.parametrize("text", ["", "not a number\n", f"{2**22 + 1}\n/data\n"])
def test_a_pid_file_that_names_no_process_is_left_to_postgres(tmp_path: Path, text: str) -> None:
    (tmp_path / "postmaster.pid").write_text(text)
    clear_stale_pid(tmp_path)
    assert (tmp_path / "postmaster.pid").exists()


def test_no_pid_file_is_no_error(tmp_path: Path) -> None:
    clear_stale_pid(tmp_path)


def test_a_pid_file_that_names_a_process_elsewhere_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "_working_folder", lambda _pid: Path("/somewhere"))
    (tmp_path / "postmaster.pid").write_text(f"{os.getpid()}\n/data\n")
    clear_stale_pid(tmp_path)
    assert not (tmp_path / "postmaster.pid").exists()


def test_a_pid_file_that_names_a_process_on_the_cluster_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "_working_folder", lambda _pid: tmp_path)
    (tmp_path / "postmaster.pid").write_text(f"{os.getpid()}\n/data\n")
    with pytest.raises(EmbeddedServerError, match=f"did not start .* as process {os.getpid()}"):
        clear_stale_pid(tmp_path)


def test_a_pid_file_that_cannot_be_judged_is_left_to_postgres(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "_working_folder", lambda _pid: None)
    (tmp_path / "postmaster.pid").write_text(f"{os.getpid()}\n/data\n")
    clear_stale_pid(tmp_path)
    assert (tmp_path / "postmaster.pid").exists()
