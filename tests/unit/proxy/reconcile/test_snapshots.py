from dataclasses import replace
from pathlib import Path

import orjson
import pytest

from ledger.billed import Window
from metering.counters import Page, Series
from proxy.reconcile import snapshots
from proxy.reconcile.errors import ReconcileError
from proxy.reconcile.snapshots import Scraped, Snapshot, check_pair

PAGE = Page("vllm", 1.5, (Series("input", "m", "engine='0'", 5), Series("output", None, "", 2**53)))
FIRST = Snapshot("main", Window(100, 110), (Scraped("http://a/metrics", PAGE),))
SECOND = replace(FIRST, window=Window(110, 120))


def test_what_is_kept_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    snapshots.write(path, SECOND)
    snapshots.write(path, FIRST)
    assert snapshots.read(path) == FIRST
    assert [one.name for one in tmp_path.iterdir()] == ["a.json"]


@pytest.mark.parametrize(
    "raw",
    [
        b"", b"{}", b"[]", b"7", b"\xff",
        snapshots.to_json(FIRST).replace(b'"farebox_snapshot": 1', b'"farebox_snapshot": 2'),
        snapshots.to_json(FIRST).replace(b'"tokens": 5', b'"tokens": "5"'),
        snapshots.to_json(FIRST).replace(b'"input"', b'"sideways"'),
        orjson.dumps({"farebox_snapshot": 1}),
    ],
)  # fmt: skip
def test_anything_else_is_refused(raw: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(raw)
    with pytest.raises(ReconcileError, match="not a snapshot"):
        snapshots.read(path)


def test_files_that_cannot_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ReconcileError, match="No such file"):
        snapshots.read(tmp_path / "none.json")
    with pytest.raises(ReconcileError, match="No such file"):
        snapshots.write(tmp_path / "none" / "a.json", FIRST)
    snapshots.write(tmp_path / "a.json", FIRST)
    monkeypatch.setattr(snapshots, "MAX_FILE_BYTES", 10)
    with pytest.raises(ReconcileError, match="more than 10 bytes"):
        snapshots.read(tmp_path / "a.json")


def test_two_that_belong_together() -> None:
    check_pair(FIRST, SECOND)


@pytest.mark.parametrize(
    ("second", "why"),
    [
        (replace(SECOND, upstream="other"), "two upstreams"),
        (replace(SECOND, scraped=(Scraped("http://b/metrics", PAGE),)), "different pages"),
        (replace(SECOND, scraped=SECOND.scraped * 2), "different pages"),
        (replace(SECOND, scraped=(Scraped("http://a/metrics", replace(PAGE, dialect="tgi")),)), "kinds of server"),
        (replace(SECOND, window=Window(90, 95)), "before the first"),
    ],
)
def test_two_that_do_not(second: Snapshot, why: str) -> None:
    with pytest.raises(ReconcileError, match=why):
        check_pair(FIRST, second)
