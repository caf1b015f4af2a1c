"""A spool: what cannot be delivered now is kept on disk, in order, and handed out again when it can be.

Bounded, checksummed, fsynced. A record that was appended survives the death of this process and of the machine, and is
handed out at least once: twice where the process died between its delivery and the removal of its file. Several
processes share a folder; what a dead one left is taken over by the others (see `segments`, which does the work).
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeVar

import structlog

from runtime.coalesce import Coalescer
from runtime.records import MAX_RECORD_BYTES, RecordTooLarge
from runtime.segments import SEGMENT_BYTES, Segment, Segments, SpoolFull

__all__ = ["RecordTooLarge", "Spool", "SpoolFull"]

T = TypeVar("T")
# Called with the oldest records; returns how many of them it can make no sense of: those are kept for people to see.
Handle = Callable[[list[bytes]], Awaitable[int]]

log = structlog.get_logger("farebox.spool")

# As many as one script call takes.
_BATCH = 128
# Callers whose records are written together and share an fsync, which takes milliseconds; and how many may wait.
_MAX_CALLERS = 32
_MAX_WAITING_CALLERS = 10_000
_CLOSE_TIMEOUT_S = 5.0


@dataclass(slots=True)
class _Head:
    """The oldest segment, read into memory; `handled` of its records are done."""

    segment: Segment
    records: list[bytes]
    handled: int = 0


class Spool:
    """One process's way to the folder. Everything that touches the disk happens in one thread, one after the other."""

    def __init__(self, segments: Segments, thread: ThreadPoolExecutor) -> None:
        self._segments = segments
        self._thread = thread
        self._head: _Head | None = None
        self._draining = asyncio.Lock()
        self._writes: Coalescer[list[bytes], None] = Coalescer(
            self._write, name="spool", max_batch=_MAX_CALLERS, max_in_flight=1, max_waiting=_MAX_WAITING_CALLERS
        )

    @classmethod
    async def open(cls, folder: Path, *, max_bytes: int, segment_bytes: int = SEGMENT_BYTES) -> Self:
        """Make the folder where it is missing, and take over what dead processes left. Raises OSError.

        `max_bytes`: of the whole folder, whoever uses it.
        """
        thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="spool")
        loop = asyncio.get_running_loop()
        return cls(await loop.run_in_executor(thread, Segments.open, folder, max_bytes, segment_bytes), thread)

    def __len__(self) -> int:
        """How many records wait, as far as this process is concerned."""
        count = sum(segment.count for segment in self._segments.all)
        return max(0, count - (self._head.handled if self._head is not None else 0))

    @property
    def is_empty(self) -> bool:
        """Nothing to drain: not even a file of which nothing could be read."""
        return not self._segments.all

    @property
    def size_bytes(self) -> int:
        """Of the files that hold them."""
        return sum(segment.size_bytes for segment in self._segments.all)

    async def append(self, records: Sequence[bytes]) -> None:
        """Returns when they are safe on disk. Raises SpoolFull, OSError, RecordTooLarge; Overloaded if too many wait.

        Who is cancelled meanwhile does not know; they may be there.
        """
        if any(len(record) > MAX_RECORD_BYTES for record in records):
            raise RecordTooLarge(max(map(len, records)))
        if records:
            await self._writes.submit(list(records))

    async def drain(self, handle: Handle) -> int:
        """Hand out all there is, oldest first, at most 128 at a time; returns how many were handed out.

        What `handle` returned from is gone; where it raises, that batch and all behind it stay, and the error is the
        caller's. A file that cannot be read now is passed over, and tried again the next time.
        """
        drained = 0
        passed_over: set[Segment] = set()
        async with self._draining:
            while (head := self._head or await self._read_oldest(passed_over)) is not None:
                drained += await self._hand_out(head, handle)
                await self._in_thread(self._segments.finish, head.segment)
                self._head = None
        return drained

    async def adopt(self) -> int:
        """Take over what processes that died since left; how many records."""
        return await self._in_thread(self._segments.adopt)

    async def close(self) -> None:
        """What is left stays on disk, for whoever opens the folder next."""
        await self._writes.drain(_CLOSE_TIMEOUT_S)
        async with self._draining:
            await self._in_thread(self._segments.close)
        self._thread.shutdown(wait=False)

    async def _write(self, callers: list[list[bytes]]) -> list[None]:
        await self._in_thread(self._segments.append, [record for records in callers for record in records])
        return [None] * len(callers)

    async def _read_oldest(self, passed_over: set[Segment]) -> _Head | None:
        while (segment := next((s for s in self._segments.all if s not in passed_over), None)) is not None:
            try:
                self._head = _Head(segment, await self._in_thread(self._segments.read, segment))
                return self._head
            except OSError as error:
                log.error("spool_unreadable", path=segment.path.name, error=type(error).__name__)
                passed_over.add(segment)
        return None

    async def _hand_out(self, head: _Head, handle: Handle) -> int:
        drained = 0
        while batch := head.records[head.handled : head.handled + _BATCH]:
            if unknown := await handle(batch):
                head.segment.is_damaged = True
                log.error("spool_record_unknown", path=head.segment.path.name, count=unknown)
            head.handled += len(batch)
            drained += len(batch)
        return drained

    async def _in_thread(self, call: Callable[..., T], *args: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, call, *args)
