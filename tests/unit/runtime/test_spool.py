"""What was appended is handed out until somebody took it: through crashes, torn ends and errors, as in a plain list."""

import asyncio
import errno
import os
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import structlog.testing
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from runtime.records import MAX_RECORD_BYTES
from runtime.spool import RecordTooLarge, Spool, SpoolFull
from tests.support.spools import Disk, crash, segment_files, set_aside
from tests.support.waiting import names_in

MAX_BYTES = 1 << 20


class Taker:
    """Takes what it is handed, until it has enough."""

    def __init__(self, enough: int = 1_000_000) -> None:
        self.batches: list[list[bytes]] = []
        self.enough = enough
        self.unknown = 0

    async def __call__(self, batch: list[bytes]) -> int:
        if len(self.batches) >= self.enough:
            raise ConnectionError
        self.batches.append(batch)
        return self.unknown

    @property
    def taken(self) -> list[bytes]:
        return [record for batch in self.batches for record in batch]


@pytest.fixture
async def spool(tmp_path: Path) -> AsyncIterator[Spool]:
    spool = await Spool.open(tmp_path, max_bytes=MAX_BYTES)
    yield spool
    await spool.close()


def numbers(count: int) -> list[bytes]:
    return [b"%d" % number for number in range(count)]


async def test_what_was_appended_is_handed_out_in_order_and_is_gone(spool: Spool, tmp_path: Path) -> None:
    await spool.append(numbers(300))
    assert len(spool) == 300 and spool.size_bytes > 300 * 16
    taker = Taker()
    assert await spool.drain(taker) == 300
    assert ([len(batch) for batch in taker.batches], taker.taken) == ([128, 128, 44], numbers(300))
    assert segment_files(tmp_path) == [] and spool.is_empty
    assert spool.size_bytes == len(spool) == 0


async def test_nothing_is_nothing(spool: Spool) -> None:
    await spool.append([])
    assert await spool.drain(Taker()) == 0 and spool.is_empty


async def test_what_was_not_taken_stays_and_what_was_is_not_handed_out_again(spool: Spool) -> None:
    await spool.append(numbers(300))
    first, second = Taker(1), Taker()
    with pytest.raises(ConnectionError):
        await spool.drain(first)
    assert len(spool) == 172
    await spool.append([b"later"])
    assert await spool.drain(second) == 173
    assert first.taken + second.taken == [*numbers(300), b"later"]


async def test_callers_of_one_moment_share_an_fsync(
    spool: Spool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk()
    monkeypatch.setattr(os, "fsync", disk.fsync)
    await asyncio.gather(*(spool.append([b"%d" % number]) for number in range(20)))
    assert disk.synced == 2, "the file and the folder"
    taker = Taker()
    await spool.drain(taker)
    assert taker.taken == numbers(20)


async def test_a_full_spool_refuses_and_takes_again_when_there_is_room(tmp_path: Path) -> None:
    spool = await Spool.open(tmp_path, max_bytes=1000)
    await spool.append([bytes(900)])
    with pytest.raises(SpoolFull):
        await spool.append([bytes(100)])
    assert len(spool) == 1
    await spool.drain(Taker())
    await spool.append([bytes(100)])
    await spool.close()


async def test_a_disk_that_fails_is_told_and_nothing_counts_as_safe(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk()
    monkeypatch.setattr(os, "fsync", disk.fsync)
    disk.error = OSError(errno.EIO, "broken")
    with pytest.raises(OSError, match="broken"):
        await spool.append([b"x"])
    assert len(spool) == 0


async def test_a_record_that_is_too_large_harms_nobody_else(spool: Spool) -> None:
    outcomes = await asyncio.gather(
        spool.append([bytes(MAX_RECORD_BYTES + 1)]), spool.append([b"x"]), return_exceptions=True
    )
    assert isinstance(outcomes[0], RecordTooLarge) and outcomes[1] is None and len(spool) == 1


async def test_a_record_that_nobody_understands_is_set_aside_with_its_file(spool: Spool, tmp_path: Path) -> None:
    await spool.append([b"of a later version"])
    taker = Taker()
    taker.unknown = 1
    with structlog.testing.capture_logs() as logs:
        assert await spool.drain(taker) == 1
    assert [(line["event"], line["log_level"], line["count"]) for line in logs] == [
        ("spool_record_unknown", "error", 1)
    ]
    (kept,) = set_aside(tmp_path)
    assert b"of a later version" in kept.read_bytes() and spool.is_empty


async def test_a_file_that_cannot_be_read_does_not_hold_up_the_others(tmp_path: Path) -> None:
    (tmp_path / "000000000000001-00000000-000000.spool").mkdir()
    spool = await Spool.open(tmp_path, max_bytes=MAX_BYTES)
    await spool.append([b"x"])
    taker = Taker()
    with structlog.testing.capture_logs() as logs:
        assert await spool.drain(taker) == 1
    assert [line["event"] for line in logs] == ["spool_unreadable"]
    assert taker.taken == [b"x"] and not spool.is_empty
    await spool.close()


async def test_another_process_takes_over_from_the_dead(spool: Spool, tmp_path: Path) -> None:
    dead = await Spool.open(tmp_path, max_bytes=MAX_BYTES)
    await dead.append(numbers(5))
    assert await spool.adopt() == 0
    crash(dead)
    assert await spool.adopt() == 5 == len(spool)
    taker = Taker()
    await spool.drain(taker)
    assert taker.taken == numbers(5)


async def test_closed_nothing_of_it_is_left_where_nothing_waits(tmp_path: Path) -> None:
    spool = await Spool.open(tmp_path, max_bytes=MAX_BYTES)
    await spool.append([b"x"])
    await spool.drain(Taker())
    await spool.close()
    assert names_in(tmp_path) == []


class LikeAList(RuleBasedStateMachine):
    """A record is handed out as often as it was not taken, and, after a crash, perhaps once more than it was taken."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.loop = asyncio.new_event_loop()
        self.waiting: list[bytes] = []
        self.taken: list[bytes] = []
        self.number = 0
        self.reopen()

    def reopen(self) -> None:
        opening = Spool.open(Path(self.folder.name), max_bytes=MAX_BYTES, segment_bytes=200)
        self.spool = self.loop.run_until_complete(opening)

    @rule(sizes=st.lists(st.integers(0, 60), max_size=5))
    def append(self, sizes: list[int]) -> None:
        records = []
        for size in sizes:
            self.number += 1
            records.append(b"%d " % self.number + bytes(size))
        self.loop.run_until_complete(self.spool.append(records))
        self.waiting += records

    @rule(batches=st.integers(0, 3))
    def drain(self, batches: int) -> None:
        taker = Taker(batches)
        try:
            self.loop.run_until_complete(self.spool.drain(taker))
        except ConnectionError:
            pass
        else:
            assert len(taker.taken) == len(self.waiting)
        assert taker.taken == self.waiting[: len(taker.taken)]
        self.waiting = self.waiting[len(taker.taken) :]
        self.taken += taker.taken

    @rule(torn=st.integers(0, 100))
    def die_and_come_back(self, torn: int) -> None:
        crash(self.spool, torn)
        self.come_back()

    @rule()
    def close_and_come_back(self) -> None:
        self.loop.run_until_complete(self.spool.close())
        self.come_back()

    def come_back(self) -> None:
        self.reopen()
        again = len(self.spool) - len(self.waiting)
        assert again >= 0
        # what was taken of a file that was not taken whole is handed out again: the last ones before what waits
        self.waiting = self.taken[len(self.taken) - again :] + self.waiting
        self.taken = self.taken[: len(self.taken) - again]

    @invariant()
    def counts_what_waits(self) -> None:
        assert len(self.spool) == len(self.waiting)
        assert set_aside(Path(self.folder.name)) == []

    def teardown(self) -> None:
        self.loop.run_until_complete(self.spool.close())
        self.loop.close()
        self.folder.cleanup()


TestLikeAList = LikeAList.TestCase
TestLikeAList.settings = settings(max_examples=40, stateful_step_count=20)
