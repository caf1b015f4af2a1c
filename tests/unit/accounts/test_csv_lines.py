"""CSV that reads back as it was written, and starts no formula."""

import csv
import io
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts.csv_lines import Number, csv_bytes, safe_text

STARTS = "=+-@\t\r\n"
FULL_WIDTH = "\uff1d\uff0b\uff0d\uff20"


@pytest.mark.parametrize("text", [f"{start}1+cmd|' /C calc'!A0" for start in STARTS + FULL_WIDTH] + ["  =1", "-"])
def test_what_would_be_a_formula_is_quoted(text: str) -> None:
    assert safe_text(text) == "'" + text


@pytest.mark.parametrize("text", ["", "a=1", "'=1", "1", "model-1", " a", "é", "\u200b=1"])
def test_other_text_stays(text: str) -> None:
    assert safe_text(text) == text


@given(st.text())
def test_no_cell_begins_as_a_formula_and_none_is_lost(text: str) -> None:
    text = text.replace("\x00", "").encode(errors="replace").decode()
    (row,) = csv.reader(io.StringIO(csv_bytes([(text, "end")]).decode(), newline=""))
    assert row[0] in (text, "'" + text) and row[1] == "end"
    assert not row[0].startswith(tuple(STARTS))


def test_each_kind_of_cell() -> None:
    at = datetime(2026, 11, 22, 12, 0, 0, 5, timezone(timedelta(hours=2)))
    row = [at, datetime(2026, 1, 2, tzinfo=UTC), None, 7, -7, Number("-0.5"), 'say "a,b"', "x\r\ny"]
    assert csv_bytes([row]) == (
        b'2026-11-22T10:00:00.000005Z,2026-01-02T00:00:00Z,,7,-7,-0.5,"say ""a,b""","x\r\ny"\r\n'
    )


def test_a_text_that_looks_like_a_negative_number_is_still_text() -> None:
    assert csv_bytes([["-0.5"]]) == b"'-0.5\r\n"


def test_no_rows_no_bytes() -> None:
    assert csv_bytes([]) == b""
