"""Logs stay small, and errors quote their end."""

from pathlib import Path

from runtime.embedded import logfile


def test_a_missing_log_is_empty(tmp_path: Path) -> None:
    assert logfile.rotate(tmp_path / "log") == 0
    assert logfile.read_since(tmp_path / "log", 0) == ""


def test_a_small_log_is_kept(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"x" * logfile.KEEP_BYTES_MAX)
    assert logfile.rotate(log) == logfile.KEEP_BYTES_MAX
    assert not logfile.previous(log).exists()


def test_a_big_log_takes_the_place_of_the_one_put_aside_before(tmp_path: Path) -> None:
    log = tmp_path / "log"
    logfile.previous(log).write_text("older")
    log.write_bytes(b"x" * (logfile.KEEP_BYTES_MAX + 1))
    assert logfile.rotate(log) == 0
    assert not log.exists()
    assert logfile.previous(log).stat().st_size == logfile.KEEP_BYTES_MAX + 1


def test_only_what_this_start_wrote_is_read(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("yesterday\ntoday\n")
    assert logfile.read_since(tmp_path / "log", len("yesterday\n")) == "today\n"


def test_reading_is_bounded_and_ends_with_the_end(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b"x" * (logfile.QUOTED_BYTES * 2) + b"end")
    text = logfile.read_since(tmp_path / "log", 0)
    assert len(text) == logfile.QUOTED_BYTES
    assert text.endswith("end")


def test_the_last_lines_are_quoted_without_blank_ones() -> None:
    text = "".join(f"line {number}\n\n" for number in range(100))
    quoted = logfile.last_lines(text).splitlines()
    assert len(quoted) == logfile.QUOTED_LINES
    assert quoted[-1] == "    line 99"


def test_silence_is_said() -> None:
    assert logfile.last_lines("") == "    (it wrote nothing)"
