"""The workers on one port: who asks for metrics reaches any of them, and wants to know of all.

Each worker has a slot: a file in a folder that its supervisor made, and writes its snapshot there every second. Whoever
is asked adds them up. A worker that is started again in a dead one's place goes on from its counts. The folder is in
memory where the system has such a place, and is gone with the supervisor.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from runtime.metrics.book import Snapshot, parse

WRITE_INTERVAL_S = 1.0
_IN_MEMORY = Path("/dev/shm")  # noqa: S108 - the folder in it is made for its owner only
_PARTIAL = ".partial"


@contextmanager
def folder_of_slots() -> Iterator[Path]:
    """For as long as the workers run."""
    where = _IN_MEMORY if os.access(_IN_MEMORY, os.W_OK | os.X_OK) else None
    with TemporaryDirectory(prefix="farebox-metrics-", dir=where) as name:
        yield Path(name)


class Slot:
    """One worker's, at `path`; beside it are the others'."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def before(self) -> Snapshot | None:
        """What the worker before this one left."""
        return _read(self._path)

    def write(self, snapshot: Snapshot) -> None:
        """Raises OSError. Whoever reads meanwhile finds the one before."""
        partial = self._path.with_name(self._path.name + _PARTIAL)
        partial.write_bytes(snapshot.to_bytes())
        partial.replace(self._path)

    def others(self) -> list[Snapshot]:
        """What the other workers wrote last, those that are gone too."""
        paths = sorted(path for path in self._path.parent.iterdir() if path.suffix != _PARTIAL and path != self._path)
        return [snapshot for path in paths if (snapshot := _read(path)) is not None]


def _read(path: Path) -> Snapshot | None:
    try:
        return parse(path.read_bytes())
    except OSError:
        return None
