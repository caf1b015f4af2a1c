"""Spools that die as processes do, and folders that stop working."""

import os
from pathlib import Path

from runtime.records import frame, scan
from runtime.segments import Segments
from runtime.spool import Spool
from tests.support.waiting import names_in


def crash(spool: Spool, torn: int = 0) -> None:
    """What the kernel does when a process ends: the locks go, and nothing is tidied up.

    `torn`: so many bytes of one more record were written.
    """
    writing = spool._segments._writing
    crash_segments(spool._segments)
    spool._thread.shutdown()
    if writing is not None:
        begin_record(writing[0].path, torn)


def crash_segments(segments: Segments) -> None:
    for fd in segments._locks.values():
        os.close(fd)
    segments._locks.clear()
    if segments._writing is not None:
        os.close(segments._writing[1])
        segments._writing = None


def segment_files(folder: Path) -> list[Path]:
    """Oldest first."""
    return [folder / name for name in names_in(folder) if name.endswith(".spool")]


def records_in(folder: Path) -> list[bytes]:
    """What has been written so far."""
    return [record for path in segment_files(folder) for record in scan(path.read_bytes()).records]


def set_aside(folder: Path) -> list[Path]:
    return [folder / name for name in names_in(folder) if name.endswith(".corrupt")]


def begin_record(path: Path, size: int) -> None:
    """The first `size` bytes of a record: its writer died, or the disk was full."""
    with path.open("ab") as file:
        file.write(frame(bytes(100), path.stat().st_size)[:size])


class Disk:
    """Put in the place of `os.fsync`: the disk that fails when told to."""

    def __init__(self) -> None:
        self.error: OSError | None = None
        self.synced = 0
        self._fsync = os.fsync

    def fsync(self, fd: int) -> None:
        self.synced += 1
        if self.error is not None:
            raise self.error
        self._fsync(fd)
