"""Rows as CSV (RFC 4180) that a spreadsheet opens without running anything.

A cell that begins as a formula does is prefixed with a quote. Only texts can: model names, error messages and the
like come from clients and upstreams. Numbers are ours, and `-1.5` stays a number.
"""

import csv
import io
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

# What spreadsheets take for the beginning of a formula, also as full-width characters or after white space they drop.
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")

Cell = str | int | datetime | None


class Number(str):
    """A number written out by us: kept as it is."""

    __slots__ = ()


def csv_bytes(rows: Iterable[Sequence[Cell]]) -> bytes:
    """Times as ISO 8601 in UTC, None as nothing."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerows([_cell(cell) for cell in row] for row in rows)
    return text.getvalue().encode()


def _cell(cell: Cell) -> str:
    if cell is None:
        return ""
    if isinstance(cell, datetime):
        return cell.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(cell, Number | int):
        return str(cell)
    return safe_text(cell)


def safe_text(text: str) -> str:
    """The text, prefixed with a quote if it would begin a formula."""
    return f"'{text}" if text.lstrip(" ").startswith(_FORMULA_STARTS) else text
