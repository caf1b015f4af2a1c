from dataclasses import replace
from typing import Any

import orjson
import pytest

from ledger.billed import Window
from ledger.posted import Unposted
from metering.reconciliation import Line, Reconciliation, Remarks
from proxy.reconcile.snapshots import Snapshot
from proxy.reconcile.upstream import Compared
from proxy.reconcile.words import as_json, as_text

FIRST = Snapshot("main", Window(1_790_000_000_000, 1_790_000_000_010), ())
SECOND = replace(FIRST, window=Window(1_790_000_060_000, 1_790_000_060_010))
GOOD = Line("m", "input", 1000, 0, 1000, 1000, 1000, 0, True)
BAD = Line("m", "output", 1000, 30, 1100, 990, 1030, 70, False)


def compared(*lines: Line, unposted: Unposted | None = None, **changes: Any) -> Compared:
    return Compared(FIRST, SECOND, Reconciliation(lines, **changes), unposted or Unposted())


def test_json_has_everything() -> None:
    found = compared(GOOD, BAD, remarks={"m": Remarks(cut=2, cut_tokens=9)})
    printed = orjson.loads(orjson.dumps(as_json(found), default=str))
    assert (printed["within"], printed["upstream"], printed["was_reset"]) == (False, "main", False)
    assert printed["from"].startswith("2026-09-21T14:13:20")
    assert printed["lines"][1] == {
        "model": "m", "direction": "output", "billed": 1000, "at_edges": 30, "counted": 1100, "least": 990,
        "most": 1030, "difference": 70, "percent": 6.3636, "within": False,
    }  # fmt: skip
    assert printed["remarks"]["m"]["cut"] == 2 and printed["remarks"]["m"]["free"] == 0


def test_text_shows_what_differs_and_why_it_may() -> None:
    text = as_text(
        compared(GOOD, BAD, remarks={"m": Remarks(at_edges=1, cut=2, cut_tokens=9, drained=3, free=4, counted_by_us=5)})
    )
    assert "0.000%\n" in text and "6.364%  DIFFERS" in text and text.endswith("billed and counted DIFFER")
    for number in range(1, 6):
        assert f"  m: {number} " in text
    ranged = as_text(compared(replace(BAD, is_within=True, difference=0)))
    assert "may be 990 to 1,030" in ranged and ranged.endswith("billed and counted agree")


@pytest.mark.parametrize(
    ("found", "ending"),
    [
        (compared(GOOD, was_reset=True), "so nothing can be said"),
        (compared(GOOD, unposted=Unposted(running=3)), "3 requests (of any upstream) still ran"),
        (compared(GOOD, unposted=Unposted(events=1)), "is `farebox ledger` running?"),
        (compared(), "billed and counted agree"),
        (compared(replace(GOOD, least=0)), "a longer interval says more"),
    ],
)
def test_the_last_line_says_what_came_of_it(found: Compared, ending: str) -> None:
    assert ending in as_text(found).splitlines()[-1]
    assert found.is_within is ending.endswith(("agree", "says more"))
