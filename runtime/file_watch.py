"""Have files changed? By looking at what is in them, every now and then.

A watch of the system's (inotify) misses what network file systems do, and Kubernetes does not write to a mounted file:
it replaces a symbolic link on the way to it. What is in a file is right everywhere, and for a few kilobytes costs less
than a request.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path

# Settings are a few kilobytes; of what was named by mistake no more is read.
_MAX_BYTES = 1 << 20


class FileWatch:
    """`look` is asked again and again. A change counts when it has rested from one look to the next: a file that is
    being written is not read by halves."""

    def __init__(self, files: Sequence[Path]) -> None:
        self._files = tuple(files)
        self._taken: bytes | None = digest(self._files)
        self._seen = self._taken

    def look(self) -> bool:
        """Is there something new to take?"""
        before, self._seen = self._seen, digest(self._files)
        return self._seen != self._taken and self._seen == before

    def take(self, files: Sequence[Path] | None = None) -> None:
        """What there is now is known, whether it is any good or not. To be called before it is read.

        `files`: what to look at from now on. If they are others than before, nothing is known of them.
        """
        if files is None or tuple(files) == self._files:
            self._taken = self._seen = digest(self._files)
        else:
            self._files = tuple(files)
            self._taken = None


def digest(files: Sequence[Path]) -> bytes:
    """Of names and contents; a file that cannot be read is a content too."""
    whole = hashlib.sha256()
    for path in files:
        whole.update(str(path).encode(errors="surrogateescape") + b"\0")
        try:
            with path.open("rb") as file:
                content = file.read(_MAX_BYTES)
        except (OSError, ValueError) as error:
            content = type(error).__name__.encode()
        whole.update(hashlib.sha256(content).digest())
    return whole.digest()
