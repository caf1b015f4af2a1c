"""What an upstream's counters said at a moment, and the file that keeps it."""

import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import orjson
from pydantic import TypeAdapter, ValidationError

from ledger.billed import Window
from metering.counters import Page
from proxy.reconcile.errors import ReconcileError

# Thousands of series.
MAX_FILE_BYTES = 16 << 20
_VERSION = 1


@dataclass(frozen=True, slots=True)
class Scraped:
    url: str
    page: Page


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All the pages of an upstream, read within this window."""

    upstream: str
    window: Window
    scraped: tuple[Scraped, ...]

    @property
    def pages(self) -> tuple[Page, ...]:
        return tuple(one.page for one in self.scraped)


_SNAPSHOT: TypeAdapter[Snapshot] = TypeAdapter(Snapshot)


def write(path: Path, snapshot: Snapshot) -> None:
    """Whole or not at all. Raises ReconcileError."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        beside.write_bytes(to_json(snapshot))
        beside.replace(path)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise ReconcileError(f"{path}: {error.strerror}") from None


def read(path: Path) -> Snapshot:
    """Raises ReconcileError for what `write` did not write."""
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise ReconcileError(f"{path}: more than {MAX_FILE_BYTES} bytes")
        return from_json(path.read_bytes())
    except OSError as error:
        raise ReconcileError(f"{path}: {error.strerror}") from None
    except ValueError:
        raise ReconcileError(f"{path}: not a snapshot of `farebox reconcile snapshot`") from None


def to_json(snapshot: Snapshot) -> bytes:
    return orjson.dumps({"farebox_snapshot": _VERSION, **asdict(snapshot)}, option=orjson.OPT_INDENT_2)


def from_json(raw: bytes) -> Snapshot:
    """Raises ValueError."""
    fields: Any = orjson.loads(raw)
    if not isinstance(fields, dict) or fields.pop("farebox_snapshot", None) != _VERSION:
        raise ValueError("not a snapshot")
    try:
        return _SNAPSHOT.validate_json(orjson.dumps(fields), strict=True)
    except ValidationError as error:
        raise ValueError("not a snapshot") from error


def check_pair(first: Snapshot, second: Snapshot) -> None:
    """Raises ReconcileError for two that cannot be compared."""
    if first.upstream != second.upstream:
        raise ReconcileError(f"of two upstreams: {first.upstream} and {second.upstream}")
    if [one.url for one in first.scraped] != [one.url for one in second.scraped]:
        raise ReconcileError("of different pages: name the same --metrics-url, in the same order")
    if len({page.dialect for page in (*first.pages, *second.pages)}) != 1:
        raise ReconcileError("of different kinds of server")
    if first.window.ended_ms > second.window.begun_ms:
        raise ReconcileError("the second was taken before the first")
