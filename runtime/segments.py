"""The files of a spool: records on disk, in a folder that several processes share. Blocks; one thread at a time.

    <owner>.lock            locked for as long as its process lives
    <owner>-<number>.spool  a segment: records (see `records`), only ever appended to, removed when all are handled
    *.spool.corrupt         a segment in which something could not be read, kept for people to look at

An owner is a process. Whoever gets the lock of one that died owns its segments too. Names begin with the time, so
sorted by name they are in order.
"""

import fcntl
import os
import re
import secrets
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import structlog

from runtime.clock import wall_ms
from runtime.records import HEADER_BYTES, frames, scan

log = structlog.get_logger("farebox.spool")

# A segment is read whole: the smaller, the less memory that takes, and the more often a file is made.
SEGMENT_BYTES = 4 << 20
_OWNED = re.compile(r"^(\d{15}-[0-9a-f]{8})(?:\.lock|-\d{6,}\.spool)$")
_SEGMENT = re.compile(r"^(\d{15}-[0-9a-f]{8})-\d{6,}\.spool$")
_COUNTED = (".spool", ".spool.corrupt")


class SpoolFull(Exception):
    """The folder holds as much as it may."""


@dataclass(slots=True, eq=False)
class Segment:
    """`count`: its records. `is_damaged`: something in it could not be read, so the file is kept when it is done."""

    path: Path
    size_bytes: int = 0
    count: int = 0
    is_damaged: bool = False


class Segments:
    """What this process owns of the folder, oldest first. Methods raise OSError."""

    def __init__(self, folder: Path, max_bytes: int, segment_bytes: int) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        self._segment_bytes = segment_bytes
        self._locks: dict[str, int] = {}  # owner -> descriptor
        self._number = 0
        self._writing: tuple[Segment, int] | None = None
        self._out_of_reach: set[str] = set()
        self.all: list[Segment] = []
        self._owner = self._become_owner()

    @classmethod
    def open(cls, folder: Path, max_bytes: int, segment_bytes: int = SEGMENT_BYTES) -> Self:
        """Makes the folder where it is missing, and takes over what dead processes left."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        made = cls(folder.absolute(), max_bytes, segment_bytes)
        made.adopt()
        return made

    def append(self, records: Sequence[bytes]) -> None:
        """On disk when it returns. Raises SpoolFull and OSError, and then none of it counts as written."""
        size = sum(HEADER_BYTES + len(record) for record in records)
        if self._used_bytes() + size > self._max_bytes:
            raise SpoolFull(f"{self._max_bytes} bytes")
        try:
            segment, fd = self._room_for(size)
            _write(fd, frames(records, segment.size_bytes))
            os.fsync(fd)
        except OSError:
            self._end_writing(cut=True)
            raise
        segment.size_bytes += size
        segment.count += len(records)

    def read(self, segment: Segment) -> list[bytes]:
        """Its records; from now on nothing more is appended to it. What cannot be read is reported, once."""
        if self._writing is not None and self._writing[0] is segment:
            self._end_writing()
        try:
            found = scan(segment.path.read_bytes())
        except FileNotFoundError:  # somebody has tidied up
            log.error("spool_file_missing", path=segment.path.name, count=segment.count)
            return []
        if found.damaged and not segment.is_damaged:
            segment.is_damaged = True
            offsets = [begin for begin, _ in found.damaged]
            log.error("spool_corrupt", path=segment.path.name, count=len(found.records), offsets=offsets)
        if found.torn_bytes:
            log.warning("spool_torn", path=segment.path.name, count=len(found.records), size_bytes=found.torn_bytes)
        return found.records

    def finish(self, segment: Segment) -> None:
        """All its records are handled: it goes, or is set aside if not all of it could be read."""
        with suppress(FileNotFoundError):
            if segment.is_damaged:
                segment.path.rename(segment.path.with_name(f"{segment.path.name}.corrupt"))
            else:
                segment.path.unlink()
        self._sync_folder()
        if segment in self.all:  # whoever was cancelled while this ran asks again
            self.all.remove(segment)
        self._let_go(_owner_of(segment.path.name))

    def adopt(self) -> int:
        """Takes over the segments of processes that are dead; how many records are in them."""
        owners = {match[1] for path in self._folder.iterdir() if (match := _OWNED.match(path.name))}
        adopted = 0
        for owner in sorted(owners - self._locks.keys()):
            if not self._has_got(owner):
                continue
            found = [_looked_into(path) for path in self._folder.iterdir() if _owner_of(path.name) == owner]
            self.all = sorted([*self.all, *found], key=lambda segment: segment.path.name)
            adopted += sum(segment.count for segment in found)
            self._let_go(owner)
        return adopted

    def close(self) -> None:
        """Lets everything go; what is left is for the next process to adopt."""
        self._end_writing()
        self._let_go(self._owner, is_over=True)
        for fd in self._locks.values():
            os.close(fd)
        self._locks.clear()

    def _become_owner(self) -> str:
        while True:
            owner = f"{wall_ms():015d}-{secrets.token_hex(4)}"
            fd = _lock(self._folder / f"{owner}.lock")
            if fd is not None:  # else somebody who looks for the dead was quicker
                self._locks[owner] = fd
                _write(fd, f"{os.getpid()}\n".encode())
                return owner

    def _has_got(self, owner: str) -> bool:
        """Whether that process is dead; then its segments are ours."""
        try:
            fd = _lock(self._folder / f"{owner}.lock")
        except OSError as error:  # another user's, for example: told once
            if owner not in self._out_of_reach:
                self._out_of_reach.add(owner)
                log.error("spool_unreadable", path=f"{owner}.lock", error=type(error).__name__)
            return False
        if fd is not None:
            self._locks[owner] = fd
        return fd is not None

    def _room_for(self, size: int) -> tuple[Segment, int]:
        """The segment that is written to, and its descriptor; a new one where this would be too much for it."""
        if self._writing is not None and self._writing[0].size_bytes + size > self._segment_bytes:
            self._end_writing()
        if self._writing is None:
            segment = Segment(self._folder / f"{self._owner}-{self._number:06d}.spool")
            fd = os.open(segment.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)
            self._number += 1
            self._writing = segment, fd
            self.all.append(segment)
            self._sync_folder()
        return self._writing

    def _end_writing(self, *, cut: bool = False) -> None:
        """`cut`: after an error nobody knows what the last write left. What it did leave may stand: nobody was told
        that it is safe, so it may be handed out or not."""
        if self._writing is None:
            return
        (segment, fd), self._writing = self._writing, None
        with suppress(OSError):
            if cut:
                os.ftruncate(fd, segment.size_bytes)
        with suppress(OSError):
            os.close(fd)
        if segment.count == 0:
            with suppress(OSError):
                segment.path.unlink()
                self.all.remove(segment)

    def _used_bytes(self) -> int:
        """By all processes: a full disk is nobody's own."""
        with os.scandir(self._folder) as entries:
            return sum(_size_of(entry) for entry in entries if entry.name.endswith(_COUNTED))

    def _sync_folder(self) -> None:
        fd = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def _let_go(self, owner: str | None, *, is_over: bool = False) -> None:
        """Remove the lock of a process that has no segments left; our own only when it `is_over`."""
        if owner not in self._locks or (owner == self._owner and not is_over):
            return
        if any(_owner_of(segment.path.name) == owner for segment in self.all):
            return
        with suppress(OSError):
            (self._folder / f"{owner}.lock").unlink()
        os.close(self._locks.pop(owner))


def _owner_of(name: str) -> str | None:
    """Whose segment this is; None: it is no segment."""
    match = _SEGMENT.match(name)
    return match[1] if match else None


def _lock(path: Path) -> int | None:
    """The descriptor of the locked file; None where another process has it, or has just removed it."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(fd).st_nlink > 0:
            return fd
    except BlockingIOError:
        pass
    except BaseException:
        os.close(fd)
        raise
    os.close(fd)
    return None


def _looked_into(path: Path) -> Segment:
    try:
        data = path.read_bytes()
    except OSError as error:
        log.error("spool_unreadable", path=path.name, error=type(error).__name__)
        return Segment(path)
    return Segment(path, len(data), len(scan(data).records))


def _size_of(entry: "os.DirEntry[str]") -> int:
    try:
        return entry.stat(follow_symlinks=False).st_size
    except FileNotFoundError:
        return 0


def _write(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]
