from pathlib import Path

from runtime.file_watch import FileWatch


def test_nothing_new_is_nothing_to_take(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("1")
    watch = FileWatch([path])
    assert [watch.look() for _ in range(3)] == [False] * 3


def test_a_change_counts_when_it_has_rested_for_one_look(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("1")
    watch = FileWatch([path])
    path.write_text("half")
    assert not watch.look()
    path.write_text("whole")
    assert not watch.look()
    assert watch.look() and watch.look()
    watch.take()
    assert not watch.look()


def test_a_change_that_is_taken_back_is_none(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("1")
    watch = FileWatch([path])
    path.write_text("2")
    assert not watch.look()
    path.write_text("1")
    assert [watch.look() for _ in range(3)] == [False] * 3


def test_a_mounted_volume_whose_link_is_replaced(tmp_path: Path) -> None:
    """As the kubelet does it: the file is a link through `..data`, which is renamed over."""
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.yaml").write_text(name)
    (tmp_path / "..data").symlink_to("old")
    (tmp_path / "config.yaml").symlink_to("..data/config.yaml")
    watch = FileWatch([tmp_path / "config.yaml"])
    (tmp_path / "..data_tmp").symlink_to("new")
    (tmp_path / "..data_tmp").rename(tmp_path / "..data")
    assert [watch.look() for _ in range(2)] == [False, True]


def test_a_file_that_goes_is_a_change_and_so_is_its_return(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("1")
    watch = FileWatch([path])
    path.unlink()
    assert [watch.look() for _ in range(2)] == [False, True]
    watch.take()
    path.write_text("1")
    assert [watch.look() for _ in range(2)] == [False, True]


def test_of_other_files_nothing_is_known_yet(tmp_path: Path) -> None:
    first, second = tmp_path / "a", tmp_path / "b"
    for path in (first, second):
        path.write_text("1")
    watch = FileWatch([first])
    watch.take([first])
    assert not watch.look() and not watch.look()
    watch.take([first, second])
    assert [watch.look() for _ in range(2)] == [False, True]
    watch.take()
    second.write_text("2")
    assert [watch.look() for _ in range(2)] == [False, True]
