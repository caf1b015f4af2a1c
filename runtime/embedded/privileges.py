"""Postgres refuses to run as root: whom it runs as instead, and what that user can reach."""

import os
import pwd
import stat
from pathlib import Path

from runtime.embedded.errors import EmbeddedServerError
from runtime.processes import UserIds

# In this order: both exist on every Linux and on macOS, own nothing, and cannot log in. initdb wants a user with a
# passwd entry. Other services may run as the same user; they are kept out by the password, not by file modes.
UNPRIVILEGED = ("nobody", "daemon")


def postgres_user() -> UserIds | None:
    """None to run as ourselves, which is so unless we are root. Raises EmbeddedServerError."""
    if os.geteuid() != 0:
        return None
    for name in UNPRIVILEGED:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return UserIds(entry.pw_uid, entry.pw_gid)
    raise EmbeddedServerError(
        f"Postgres refuses to run as root, and there is no user {' or '.join(UNPRIVILEGED)} to run it as: "
        "start farebox as another user, or set FAREBOX_DATABASE_URL"
    )


def can_enter(folder: Path, user: UserIds) -> bool:
    """Whether `user` may pass through `folder` and every folder above it, by their permission bits."""
    real = folder.resolve()
    return all(_passable(step.stat(), user) for step in (real, *real.parents))


def _passable(status: os.stat_result, user: UserIds) -> bool:
    """As the kernel does: the first class that fits decides, even if a later one would allow more."""
    if status.st_uid == user.uid:
        return bool(status.st_mode & stat.S_IXUSR)
    if status.st_gid == user.gid:
        return bool(status.st_mode & stat.S_IXGRP)
    return bool(status.st_mode & stat.S_IXOTH)
