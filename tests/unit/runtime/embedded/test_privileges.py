"""Whom Postgres runs as, and what that user can reach."""

import os
import pwd
from pathlib import Path

import pytest

from runtime.embedded import privileges
from runtime.embedded.errors import EmbeddedServerError
from runtime.embedded.privileges import can_enter, postgres_user
from runtime.processes import UserIds

STRANGER = UserIds(54321, 54321)


@pytest.fixture
def open_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that counts as reachable: what lies above pytest's own folder depends on the machine."""
    real = privileges._passable
    above = {parent.stat().st_ino for parent in tmp_path.resolve().parents} | {tmp_path.stat().st_ino}
    monkeypatch.setattr(privileges, "_passable", lambda status, user: status.st_ino in above or real(status, user))
    return tmp_path


def test_an_ordinary_user_runs_it_as_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert postgres_user() is None


def test_root_runs_it_as_the_first_unprivileged_user_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    real = pwd.getpwnam("daemon")

    def getpwnam(name: str) -> pwd.struct_passwd:
        if name != "daemon":
            raise KeyError(name)
        return real

    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(pwd, "getpwnam", getpwnam)
    assert postgres_user() == (real.pw_uid, real.pw_gid)


def test_root_on_a_machine_without_such_a_user_is_told_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def getpwnam(name: str) -> pwd.struct_passwd:
        raise KeyError(name)

    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(pwd, "getpwnam", getpwnam)
    with pytest.raises(EmbeddedServerError, match="FAREBOX_DATABASE_URL"):
        postgres_user()


def test_every_folder_on_the_way_must_let_the_user_pass(open_dir: Path) -> None:
    inner = open_dir / "middle" / "inner"
    inner.mkdir(parents=True)
    inner.chmod(0o711)
    inner.parent.chmod(0o711)
    assert can_enter(inner, STRANGER)
    inner.parent.chmod(0o700)
    assert not can_enter(inner, STRANGER)


def test_the_way_is_that_of_the_real_folder_not_of_the_link(open_dir: Path) -> None:
    closed, target = open_dir / "closed", open_dir / "target"
    closed.mkdir()
    target.mkdir()
    target.chmod(0o711)
    (closed / "link").symlink_to(target)
    closed.chmod(0o700)
    assert can_enter(closed / "link", STRANGER)


@pytest.mark.parametrize(
    ("mode", "owner", "group", "stranger"),
    [
        (0o700, True, False, False),
        (0o710, True, True, False),
        (0o711, True, True, True),
        (0o666, False, False, False),
        (0o071, False, True, True),  # the first class that fits decides: the owner is kept out
        (0o701, True, False, True),
    ],
)
def test_permission_bits_are_read_as_the_kernel_does(
    open_dir: Path, mode: int, owner: bool, group: bool, stranger: bool
) -> None:
    folder = open_dir / "folder"
    folder.mkdir()
    status = folder.stat()
    users = [
        UserIds(status.st_uid, 54321),
        UserIds(54321, status.st_gid),
        STRANGER,
    ]
    folder.chmod(mode)
    found = [privileges._passable(folder.stat(), user) for user in users]
    folder.chmod(0o700)
    assert found == [owner, group, stranger]
