"""A file that counts only when it was read back."""

import gzip
import hashlib
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger import archive
from ledger.archive import Archive, ArchiveError, Sink, is_there, write_archive
from tests.support.months import files_in

Produce = Callable[[Sink], Awaitable[None]]


def of(*pieces: bytes) -> Produce:
    async def produce(sink: Sink) -> None:
        for piece in pieces:
            await sink(piece)

    return produce


@given(st.lists(st.binary(max_size=200), max_size=20), st.integers(1, 64))
async def test_what_goes_in_comes_out(
    tmp_path_factory: pytest.TempPathFactory, pieces: list[bytes], piece_bytes: int
) -> None:
    folder = tmp_path_factory.mktemp("archive")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(archive, "PIECE_BYTES", piece_bytes)
        written = await write_archive(folder, "rows", of(*pieces))
        assert await is_there(folder, written)
    (path,) = files_in(folder)
    assert path.name == written.name == f"rows.{written.sha256[:12]}.csv.gz"
    assert gzip.decompress(path.read_bytes()) == b"".join(pieces)
    assert hashlib.sha256(path.read_bytes()).hexdigest() == written.sha256
    assert path.stat().st_size == written.size_bytes


async def test_the_same_again_is_the_same_file_and_something_else_is_another(tmp_path: Path) -> None:
    first = await write_archive(tmp_path, "rows", of(b"a" * 5000, b"b"))
    assert await write_archive(tmp_path, "rows", of(b"a" * 4000, b"a" * 1000, b"b")) == first
    other = await write_archive(tmp_path, "rows", of(b"c"))
    assert sorted(path.name for path in files_in(tmp_path)) == sorted([first.name, other.name])


async def test_only_its_owner_reads_it(tmp_path: Path) -> None:
    written = await write_archive(tmp_path, "rows", of(b"a"))
    assert (tmp_path / written.name).stat().st_mode & 0o777 == 0o600


async def test_what_fails_on_the_way_leaves_nothing(tmp_path: Path) -> None:
    async def produce(sink: Sink) -> None:
        await sink(b"half")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await write_archive(tmp_path, "rows", produce)
    assert files_in(tmp_path) == []


async def test_what_a_killed_process_left_is_taken_away_and_nothing_else(tmp_path: Path) -> None:
    for name in ("rows.0123.partial", "others.0123.partial", "rows.0123.csv.gz"):
        (tmp_path / name).write_bytes(b"")
    written = await write_archive(tmp_path, "rows", of(b"a"))
    left = {path.name for path in files_in(tmp_path)}
    assert left == {"others.0123.partial", "rows.0123.csv.gz", written.name}


async def test_a_folder_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match="No such file or directory"):
        await write_archive(tmp_path / "unmounted", "rows", of(b"a"))
    (tmp_path / "file").touch()
    with pytest.raises(ArchiveError, match="Not a directory"):
        await write_archive(tmp_path / "file", "rows", of(b"a"))


async def test_a_disk_that_is_full_is_said_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(ArchiveError, match="No space left on device"):
        await write_archive(tmp_path, "rows", of(b"a"))
    assert files_in(tmp_path) == []


@pytest.mark.parametrize("lies", [b"x", b"", b"rows, but other ones"])
async def test_a_disk_that_gives_back_something_else_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lies: bytes
) -> None:
    sync = os.fsync

    def damage(file: int) -> None:
        sync(file)
        for path in tmp_path.glob("*.partial"):
            path.write_bytes(gzip.compress(lies) if len(lies) != 1 else lies)

    monkeypatch.setattr(os, "fsync", damage)
    with pytest.raises(ArchiveError, match=r"was not read back|is damaged|is not whole"):
        await write_archive(tmp_path, "rows", of(b"rows", b"more"))
    assert files_in(tmp_path) == []


async def test_a_file_is_there_only_whole(tmp_path: Path) -> None:
    written = await write_archive(tmp_path, "rows", of(os.urandom(5000)))
    path = tmp_path / written.name
    whole = path.read_bytes()
    for damaged in (whole[:-1], whole[:100] + bytes([whole[100] ^ 1]) + whole[101:], whole + whole, whole + b"x", b""):
        path.write_bytes(damaged)
        assert not await is_there(tmp_path, written)
    path.write_bytes(whole)
    assert await is_there(tmp_path, written)
    assert not await is_there(tmp_path, Archive(written.name, "0" * 64, written.size_bytes))
    path.unlink()
    assert not await is_there(tmp_path, written)


async def test_what_unpacks_to_a_thousand_times_its_size_is_read_in_pieces(tmp_path: Path) -> None:
    written = await write_archive(tmp_path, "rows", of(*[b"\0" * 100_000] * 100))
    assert written.size_bytes < 50_000 and await is_there(tmp_path, written)
