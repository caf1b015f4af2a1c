"""Workers that leave their snapshots for each other."""

from pathlib import Path

from runtime.metrics.book import Snapshot
from runtime.metrics.slots import Slot, folder_of_slots


def counted(count: int) -> Snapshot:
    return Snapshot(1, {"asked_total": {("a",): count}})


def test_each_finds_the_others(tmp_path: Path) -> None:
    one, two, three = (Slot(tmp_path / f"worker-{index}") for index in range(3))
    assert one.others() == []
    one.write(counted(1))
    two.write(counted(2))
    assert one.others() == [counted(2)]
    assert three.others() == [counted(1), counted(2)]


def test_one_that_takes_anothers_place_finds_what_it_left(tmp_path: Path) -> None:
    assert Slot(tmp_path / "worker-0").before() is None
    Slot(tmp_path / "worker-0").write(counted(5))
    assert Slot(tmp_path / "worker-0").before() == counted(5)


def test_what_is_half_written_or_no_snapshot_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "worker-1.partial").write_bytes(counted(9).to_bytes())
    (tmp_path / "worker-2").write_bytes(b"{")
    assert Slot(tmp_path / "worker-0").others() == []


def test_the_folder_is_its_owners_and_gone_afterwards() -> None:
    with folder_of_slots() as folder:
        assert folder.stat().st_mode & 0o077 == 0
        Slot(folder / "worker-0").write(counted(1))
    assert not folder.exists()
