"""A folder of records: owned by one process at a time, bounded, and nothing in it is lost silently."""

import errno
import os
import stat
from pathlib import Path

import pytest
import structlog.testing

from runtime.records import HEADER_BYTES
from runtime.segments import Segments, SpoolFull
from tests.support.spools import Disk, begin_record, crash_segments, segment_files, set_aside
from tests.support.waiting import names_in

MAX_BYTES = 1 << 20
SOME = [b"one", b"two", b"three"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "some" / "spool"


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    disk = Disk()
    monkeypatch.setattr(os, "fsync", disk.fsync)
    return disk


def opened(folder: Path, max_bytes: int = MAX_BYTES, segment_bytes: int = 100) -> Segments:
    return Segments.open(folder, max_bytes, segment_bytes)


def everything(segments: Segments) -> list[bytes]:
    """Handed out and gone."""
    found: list[bytes] = []
    while segments.all:
        found += segments.read(segments.all[0])
        segments.finish(segments.all[0])
    return found


def flip(path: Path, place: int) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)


def test_what_is_appended_is_read_in_order_and_then_gone(folder: Path) -> None:
    segments = opened(folder)
    for record in SOME * 10:
        segments.append([record])
    assert len(segment_files(folder)) > 3
    assert everything(segments) == SOME * 10
    segments.close()
    assert names_in(folder) == []


def test_only_its_owner_may_look(folder: Path) -> None:
    segments = opened(folder)
    segments.append(SOME)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}
    segments.close()


def test_it_is_on_disk_when_append_returns_and_so_is_its_name(folder: Path, disk: Disk) -> None:
    segments = opened(folder)
    segments.append(SOME)
    assert disk.synced == 2, "the file and the folder"
    segments.append(SOME[:1])
    assert disk.synced == 3, "the file alone"
    segments.close()


def test_what_a_dead_process_left_is_adopted_and_what_a_living_one_has_is_not(folder: Path) -> None:
    living, dead, heir = opened(folder), opened(folder), opened(folder)
    living.append([b"of the living"])
    dead.append(SOME)
    assert (heir.adopt(), heir.all) == (0, [])
    crash_segments(dead)
    assert heir.adopt() == 3
    assert (living.adopt(), heir.adopt()) == (0, 0)
    assert everything(heir) == SOME
    assert everything(living) == [b"of the living"]
    heir.close()
    living.close()
    assert names_in(folder) == []


def test_what_is_left_at_the_end_is_for_the_next(folder: Path) -> None:
    first = opened(folder)
    first.append(SOME)
    first.close()
    second = opened(folder)
    assert (len(second.all), everything(second)) == (1, SOME)
    second.close()
    assert names_in(folder) == []


def test_older_ones_come_first(folder: Path) -> None:
    for number in range(3):
        segments = opened(folder)
        segments.append([b"%d" % number])
        crash_segments(segments)
        # the clock need not have moved on meanwhile
        for path in segment_files(folder)[number:]:
            path.rename(folder / f"{number:015d}-00000000-000000.spool")
    assert everything(opened(folder)) == [b"0", b"1", b"2"]


def test_the_folder_has_a_bound_that_all_share(folder: Path) -> None:
    size = HEADER_BYTES + 84
    ours, others = opened(folder, 3 * size), opened(folder, 3 * size)
    others.append([bytes(84)])
    ours.append([bytes(84)] * 2)
    with pytest.raises(SpoolFull):
        ours.append([b""])
    assert (everything(others), len(everything(ours))) == ([bytes(84)], 2)
    others.append([bytes(84)] * 3)
    with pytest.raises(SpoolFull):
        ours.append([b""])
    assert ours.all == [] and len(segment_files(folder)) == 1
    ours.close()
    others.close()


@pytest.mark.parametrize("before", [[], [b"before"]])
def test_a_disk_that_fails_says_so_and_what_was_safe_stays_so(folder: Path, disk: Disk, before: list[bytes]) -> None:
    segments = opened(folder)
    if before:
        segments.append(before)
    disk.error = OSError(errno.ENOSPC, "full")
    with pytest.raises(OSError, match="full"):
        segments.append(SOME)
    assert sum(segment.count for segment in segments.all) == len(before)
    assert len(segment_files(folder)) == len(before)
    disk.error = None
    segments.append([b"after"])
    assert everything(segments) == [*before, b"after"]
    segments.close()


def test_a_torn_end_is_tolerated(folder: Path) -> None:
    segments = opened(folder)
    segments.append(SOME)
    crash_segments(segments)
    begin_record(segment_files(folder)[0], 20)
    heir = opened(folder)
    with structlog.testing.capture_logs() as logs:
        assert everything(heir) == SOME
    assert [(line["event"], line["log_level"], line["size_bytes"]) for line in logs] == [("spool_torn", "warning", 20)]
    heir.close()
    assert names_in(folder) == []


def test_damage_is_reported_and_kept_and_the_rest_is_read(folder: Path) -> None:
    segments = opened(folder)
    segments.append(SOME)
    (path,) = segment_files(folder)
    flip(path, HEADER_BYTES + 3 + HEADER_BYTES)
    with structlog.testing.capture_logs() as logs:
        assert segments.read(segments.all[0]) == [b"one", b"three"]
        assert everything(segments) == [b"one", b"three"]
    (line,) = logs
    assert (line["event"], line["log_level"]) == ("spool_corrupt", "error")
    assert (line["count"], line["offsets"], line["path"]) == (2, [HEADER_BYTES + 3], path.name)
    assert [kept.name for kept in set_aside(folder)] == [f"{path.name}.corrupt"]
    assert everything(opened(folder)) == [], "it is not read again"


def test_what_was_set_aside_counts_as_used(folder: Path) -> None:
    segments = opened(folder, 2 * HEADER_BYTES)
    segments.append([b"x" * HEADER_BYTES])
    flip(segment_files(folder)[0], 0)
    everything(segments)
    with pytest.raises(SpoolFull):
        segments.append([b""])
    segments.close()


def test_a_file_that_somebody_removed_is_missed(folder: Path) -> None:
    segments = opened(folder)
    segments.append(SOME)
    segment_files(folder)[0].unlink()
    with structlog.testing.capture_logs() as logs:
        assert everything(segments) == []
    assert [(line["event"], line["count"]) for line in logs] == [("spool_file_missing", 3)]
    segments.close()


def test_a_file_that_cannot_be_read_is_reported(folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "000000000000001-00000000-000000.spool").mkdir()
    with structlog.testing.capture_logs() as logs:
        segments = opened(folder)
    assert [line["event"] for line in logs] == ["spool_unreadable"]
    with pytest.raises(IsADirectoryError):
        segments.read(segments.all[0])
    segments.close()


def test_a_lock_that_cannot_be_opened_is_told_once(folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "000000000000001-00000000.lock").symlink_to(folder / "elsewhere")
    with structlog.testing.capture_logs() as logs:
        segments = opened(folder)
        segments.adopt()
    assert [line["event"] for line in logs] == ["spool_unreadable"]
    segments.close()


def test_files_of_others_are_left_alone(folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "notes.txt").write_text("mine")
    (folder / "x.spool").write_text("mine too")
    opened(folder).close()
    assert names_in(folder) == ["notes.txt", "x.spool"]


def test_a_place_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError):
        opened(tmp_path / "file" / "spool")
