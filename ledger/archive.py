"""A file of compressed CSV that counts only when it was read back from the disk and says what was written.

It is written under a temporary name, fsynced, read back, and then renamed to a name with the beginning of its SHA-256:
so a file under a final name is whole, nothing is ever overwritten by something else, and writing the same again leaves
the same file. What a killed process left is taken away by the next one. Its owner alone may read it.
"""

import asyncio
import hashlib
import os
import zlib
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from typing import ParamSpec, TypeVar

from ledger.errors import LedgerError

P = ParamSpec("P")
T = TypeVar("T")
Sink = Callable[[bytes], Awaitable[None]]
# Hands everything to the sink.
Produce = Callable[[Sink], Awaitable[None]]

# As much at a time goes to a thread, which compresses it in a few milliseconds; the loop goes on meanwhile.
PIECE_BYTES = 1 << 20
# gzip's own; the header has no time and no name, so the same rows make the same file.
_GZIP = 16 + zlib.MAX_WBITS
# Level 6 takes three times as long for files a tenth smaller.
_LEVEL = 3
_PARTIAL = "partial"
_SHA_CHARS = 12


class ArchiveError(LedgerError):
    """The archive cannot be written, or is not what was written."""


@dataclass(frozen=True, slots=True)
class Archive:
    """`name` is that of a file in the folder, `sha256` and `size_bytes` are those of the file as it lies there."""

    name: str
    sha256: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class _Digests:
    """Of a file, and of what is compressed in it."""

    file: str
    content: str
    size_bytes: int


class _Hashed:
    """Adds up what passes."""

    def __init__(self) -> None:
        self._file, self._content, self._size = hashlib.sha256(), hashlib.sha256(), 0

    def add(self, content: bytes, compressed: bytes) -> None:
        self._content.update(content)
        self._file.update(compressed)
        self._size += len(compressed)

    @property
    def digests(self) -> _Digests:
        return _Digests(self._file.hexdigest(), self._content.hexdigest(), self._size)


class _Writer:
    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        self._zip = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP)
        self._hashed = _Hashed()

    def write(self, content: bytes) -> None:
        self._put(content, self._zip.compress(content))

    def finish(self) -> _Digests:
        """On the disk when this returns, and no longer in memory: reading it back reads the disk."""
        self._put(b"", self._zip.flush())
        os.fsync(self._file)
        os.posix_fadvise(self._file, 0, 0, os.POSIX_FADV_DONTNEED)
        return self._hashed.digests

    def close(self) -> None:
        os.close(self._file)

    def _put(self, content: bytes, compressed: bytes) -> None:
        self._hashed.add(content, compressed)
        rest = memoryview(compressed)
        while rest:
            rest = rest[os.write(self._file, rest) :]


class _Reader:
    """Raises OSError, and ArchiveError for what is no whole gzip file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = os.open(path, os.O_RDONLY)
        self._unzip = zlib.decompressobj(_GZIP)
        self._hashed = _Hashed()
        self._rest = b""

    def read(self) -> bool:
        """A piece more; false at the end. A piece may unpack to a thousand times its size: so much of it at a time."""
        read = b"" if self._rest else os.read(self._file, PIECE_BYTES)
        if not self._rest and not read:
            return False
        try:
            content = self._unzip.decompress(self._rest or read, PIECE_BYTES)
        except zlib.error:
            raise ArchiveError(f"{self._path}: is damaged") from None
        self._hashed.add(content, read)
        self._rest = self._unzip.unconsumed_tail
        return True

    def digests(self) -> _Digests:
        if not self._unzip.eof or self._unzip.unused_data:
            raise ArchiveError(f"{self._path}: is not whole")
        return self._hashed.digests

    def close(self) -> None:
        os.close(self._file)


async def write_archive(folder: Path, stem: str, produce: Produce) -> Archive:
    """Keeps what is produced as `<stem>.<beginning of its SHA-256>.csv.gz`. The folder must be there.

    Raises ArchiveError, and what `produce` raises; then there is no file under a final name.
    """
    path = folder / f"{stem}.{token_hex(8)}.{_PARTIAL}"
    await _on_disk(_remove_partial, folder, stem)
    try:
        written = await _write(path, produce)
        if await _read_back(path) != written:
            raise ArchiveError(f"{path}: was not read back as it was written")
        name = f"{stem}.{written.file[:_SHA_CHARS]}.csv.gz"
        await _on_disk(_publish, path, folder / name)
    finally:
        with suppress(OSError):
            path.unlink(missing_ok=True)
    return Archive(name, written.file, written.size_bytes)


async def is_there(folder: Path, archive: Archive) -> bool:
    """Whether the file is in the folder, whole."""
    try:
        found = await _read_back(folder / archive.name)
    except ArchiveError:
        return False
    return (found.file, found.size_bytes) == (archive.sha256, archive.size_bytes)


async def _write(path: Path, produce: Produce) -> _Digests:
    writer, waiting = await _on_disk(_Writer, path), bytearray()

    async def sink(piece: bytes) -> None:
        waiting.extend(piece)
        if len(waiting) >= PIECE_BYTES:
            content = bytes(waiting)
            waiting.clear()
            await _on_disk(writer.write, content)

    try:
        await produce(sink)
        await _on_disk(writer.write, bytes(waiting))
        return await _on_disk(writer.finish)
    finally:
        writer.close()


async def _read_back(path: Path) -> _Digests:
    reader = await _on_disk(_Reader, path)
    try:
        while await _on_disk(reader.read):
            pass
        return reader.digests()
    finally:
        reader.close()


async def _on_disk(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """In a thread: disks may be slow. What the disk says is an ArchiveError."""
    try:
        return await asyncio.to_thread(work, *args, **kwargs)
    except OSError as error:
        raise ArchiveError(f"{error.filename or 'the archive'}: {error.strerror or type(error).__name__}") from error


def _remove_partial(folder: Path, stem: str) -> None:
    for left in folder.glob(f"{stem}.*.{_PARTIAL}"):
        left.unlink(missing_ok=True)


def _publish(path: Path, final: Path) -> None:
    path.rename(final)
    # The name too must survive the machine.
    folder = os.open(final.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
