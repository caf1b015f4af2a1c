"""A server's log file: kept small, and quoted when the server fails."""

from pathlib import Path

KEEP_BYTES_MAX = 1 << 20
# Enough for the reason and what led to it; a start that fails writes about five lines.
QUOTED_LINES = 15
QUOTED_BYTES = 16 << 10


def rotate(path: Path) -> int:
    """Put a log that has grown past KEEP_BYTES_MAX aside, in place of the one put aside before.

    Returns the size in bytes of what remains: where the next start will begin to write.
    """
    try:
        size_bytes = path.stat().st_size
    except FileNotFoundError:
        return 0
    if size_bytes <= KEEP_BYTES_MAX:
        return size_bytes
    path.replace(previous(path))
    return 0


def previous(path: Path) -> Path:
    """Where `rotate` puts an old log."""
    return path.with_name(path.name + ".1")


def read_since(path: Path, start_bytes: int) -> str:
    """What was written after `start_bytes`: at most the last QUOTED_BYTES of it. Empty if there is no log."""
    try:
        with path.open("rb") as file:
            end = file.seek(0, 2)
            file.seek(max(start_bytes, end - QUOTED_BYTES))
            return file.read(QUOTED_BYTES).decode(errors="replace")
    except FileNotFoundError:
        return ""


def last_lines(text: str) -> str:
    """The last QUOTED_LINES lines that are not blank, indented for use in an error message."""
    lines = [line for line in text.splitlines() if line.strip()]
    return "\n".join(f"    {line}" for line in lines[-QUOTED_LINES:]) or "    (it wrote nothing)"
