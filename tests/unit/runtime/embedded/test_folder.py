"""One server at a time on a folder, which is where the server's user can reach it."""

import os
import shutil
import signal
import sys
from pathlib import Path

import pytest

from runtime.embedded import folder
from runtime.embedded.errors import EmbeddedServerError
from runtime.embedded.folder import POINTER_NAME, FolderLock, empty, make_folders, place, pointed_to
from runtime.processes import UserIds, start_child
from tests.support.waiting import until_line

STRANGER = UserIds(54321, 54321)


def reach(monkeypatch: pytest.MonkeyPatch, *closed: Path) -> None:
    """Makes everything reachable, but for `closed`: what a real folder allows depends on the machine."""
    monkeypatch.setattr(folder, "can_enter", lambda path, _user: not any(path.is_relative_to(c) for c in closed))


async def test_a_second_server_on_a_folder_is_refused_and_the_first_ones_owner_named(tmp_path: Path) -> None:
    lock = await FolderLock.take(tmp_path, "Postgres")
    with pytest.raises(EmbeddedServerError, match=f"already runs on .*, started by process {os.getpid()}"):
        await FolderLock.take(tmp_path, "Postgres")
    lock.release()


async def test_a_released_folder_can_be_taken_again(tmp_path: Path) -> None:
    first = await FolderLock.take(tmp_path, "Postgres")
    first.release()
    first.release()
    (await FolderLock.take(tmp_path, "Postgres")).release()


async def test_an_error_releases_the_folder(tmp_path: Path) -> None:
    lock = await FolderLock.take(tmp_path, "Postgres")
    with pytest.raises(ZeroDivisionError), lock.released_on_error():
        raise ZeroDivisionError
    (await FolderLock.take(tmp_path, "Postgres")).release()


HOLDER = """
import sys, time
print("ready", flush=True)
time.sleep(float(sys.argv[1]))
"""


async def test_a_server_that_outlives_its_owner_is_waited_for(tmp_path: Path) -> None:
    lock, log = await FolderLock.take(tmp_path, "Postgres"), tmp_path / "log"
    dying = start_child([sys.executable, "-c", HOLDER, "0.3"], name="dying", log_path=log, keep_fds=[lock.fd])
    await until_line(log)
    lock.release()
    again = await FolderLock.take(tmp_path, "Postgres")
    assert dying.exit_code == 0
    again.release()


async def test_a_server_that_does_not_go_is_not_waited_for_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folder, "DYING_TIMEOUT_S", 0.05)
    lock, log = await FolderLock.take(tmp_path, "Postgres"), tmp_path / "log"
    staying = start_child([sys.executable, "-c", HOLDER, "300"], name="staying", log_path=log, keep_fds=[lock.fd])
    await until_line(log)
    lock.release()
    with pytest.raises(EmbeddedServerError, match="whose parent is gone"):
        await FolderLock.take(tmp_path, "Postgres")
    await staying.stop(signal.SIGKILL)


def test_folders_get_their_mode_whatever_the_umask_and_others_keep_theirs(tmp_path: Path) -> None:
    tmp_path.chmod(0o750)
    old_umask = os.umask(0o077)
    try:
        make_folders(tmp_path / "a" / "b", 0o711)
    finally:
        os.umask(old_umask)
    modes = [path.stat().st_mode & 0o777 for path in (tmp_path, tmp_path / "a", tmp_path / "a" / "b")]
    assert modes == [0o750, 0o711, 0o711]


def test_as_an_ordinary_user_data_stays_where_it_was_wanted(tmp_path: Path) -> None:
    assert place(tmp_path / "pg", None, tmp_path / "shared", holds_data="cluster") == tmp_path / "pg"
    assert (tmp_path / "pg").stat().st_mode & 0o777 == 0o700


def test_for_another_user_a_reachable_folder_can_be_passed_but_not_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reach(monkeypatch)
    assert place(tmp_path / "pg", STRANGER, tmp_path / "shared", holds_data="cluster") == tmp_path / "pg"
    assert (tmp_path / "pg").stat().st_mode & 0o777 == 0o711


def test_an_unreachable_folder_gets_a_pointer_that_later_starts_follow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted, shared = tmp_path / "closed" / "pg", tmp_path / "shared"
    reach(monkeypatch, tmp_path / "closed")
    moved = place(wanted, STRANGER, shared, holds_data="cluster")
    assert moved.is_dir()
    assert moved.parent.parent == shared / "data"
    assert pointed_to(wanted, shared) == moved
    wanted.parent.rename(tmp_path / "elsewhere")  # a moved project keeps its data
    assert place(tmp_path / "elsewhere" / "pg", STRANGER, shared, holds_data="cluster") == moved


def test_two_unreachable_folders_do_not_share_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reach(monkeypatch, tmp_path / "closed")
    folders = [place(tmp_path / "closed" / name, STRANGER, tmp_path / "shared", holds_data="cluster") for name in "ab"]
    assert folders[0] != folders[1]


def test_data_that_cannot_be_reached_any_more_is_not_replaced_by_an_empty_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "closed" / "pg" / "cluster").mkdir(parents=True)
    reach(monkeypatch, tmp_path / "closed")
    with pytest.raises(EmbeddedServerError, match="no longer reach"):
        place(tmp_path / "closed" / "pg", STRANGER, tmp_path / "shared", holds_data="cluster")


def test_if_nothing_can_be_reached_that_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reach(monkeypatch, tmp_path)
    with pytest.raises(EmbeddedServerError, match="reach neither"):
        place(tmp_path / "pg", STRANGER, tmp_path / "shared", holds_data="cluster")


def test_as_root_the_folder_of_somebody_else_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reach(monkeypatch)
    monkeypatch.setattr(os, "geteuid", lambda: 54321)
    with pytest.raises(EmbeddedServerError, match="belongs to user id"):
        place(tmp_path, STRANGER, tmp_path / "shared", holds_data="cluster")


@pytest.mark.parametrize("target", ["/etc", "shared/data", "shared/data/../../x/y", "shared/data/a/b/c"])
def test_a_pointer_that_leads_elsewhere_is_refused(tmp_path: Path, target: str) -> None:
    (tmp_path / POINTER_NAME).write_text(f"{tmp_path / target}\n")
    with pytest.raises(EmbeddedServerError, match="points outside"):
        pointed_to(tmp_path, tmp_path / "shared")


def test_a_folder_that_was_removed_starts_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted, shared = tmp_path / "closed" / "pg", tmp_path / "shared"
    reach(monkeypatch, tmp_path / "closed")
    first = place(wanted, STRANGER, shared, holds_data="cluster")
    (first / "cluster").mkdir()
    shutil.rmtree(tmp_path / "closed")
    assert place(wanted, STRANGER, shared, holds_data="cluster") != first
    assert (first / "cluster").is_dir(), "nothing is deleted that nobody asked to delete"


def test_emptying_takes_what_is_named_and_leaves_what_is_not(tmp_path: Path) -> None:
    data = tmp_path / "data"
    (data / "cluster" / "base").mkdir(parents=True)
    (data / "log").write_text("x")
    (data / "theirs").write_text("x")
    empty(data, ["cluster", "log", "missing"])
    assert [path.name for path in data.iterdir()] == ["theirs"]
    empty(data, ["theirs"])
    assert not data.exists()


def test_emptying_does_not_follow_links(tmp_path: Path) -> None:
    (tmp_path / "precious").mkdir()
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "cluster").symlink_to(tmp_path / "precious")
    empty(tmp_path / "data", ["cluster"])
    assert (tmp_path / "precious").is_dir()
