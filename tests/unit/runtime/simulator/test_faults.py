from typing import Any

import pytest

from runtime.simulator.errors import Refused
from runtime.simulator.faults import Fault, FaultKind, Stage, read_fault, stop_at


@pytest.mark.parametrize("kind", [kind for kind in FaultKind if kind is not FaultKind.STATUS])
def test_every_fault_can_be_ordered_for_a_stream(kind: FaultKind) -> None:
    assert read_fault({"fault": kind.value}, streamed=True) == Fault(kind)


@pytest.mark.parametrize(
    ("raw", "fault"),
    [
        ({"after_tokens": 3}, Fault(FaultKind.CUT, after_tokens=3)),
        ({"after_bytes": 0}, Fault(FaultKind.CUT, after_bytes=0)),
        ({"after": "finish"}, Fault(FaultKind.CUT, after=Stage.FINISH)),
    ],
)
def test_a_fault_comes_at_a_point(raw: dict[str, Any], fault: Fault) -> None:
    assert read_fault({"fault": "cut"} | raw, streamed=True) == fault


def test_no_fault_is_none() -> None:
    assert read_fault({}, streamed=True) is None


def test_a_status_comes_with_its_fault() -> None:
    fault = read_fault({"fault": "status", "status": 503}, streamed=False)
    assert fault == Fault(FaultKind.STATUS, status=503)


@pytest.mark.parametrize(
    ("raw", "streamed", "param"),
    [
        ({"fault": "explode"}, True, "fault"),
        ({"fault": 1}, True, "fault"),
        ({"fault": ["cut"]}, True, "fault"),
        ({"fault": "status"}, True, "status"),
        ({"fault": "status", "status": 399}, True, "status"),
        ({"fault": "status", "status": 600}, True, "status"),
        ({"fault": "cut", "status": 500}, True, "status"),
        ({"status": 500}, True, "fault"),
        ({"after_chunks": 1}, True, "fault"),
        ({"fault": "cut", "after_chunks": -1}, True, "after_chunks"),
        ({"fault": "cut", "after_chunks": "1"}, True, "after_chunks"),
        ({"fault": "close", "after_chunks": 1}, True, "after_chunks"),
        ({"fault": "cut", "after_chunks": 1}, False, "after_chunks"),
        ({"fault": "error_event"}, False, "fault"),
        ({"fault": "no_done"}, False, "fault"),
        ({"fault": "failed"}, False, "fault"),
        ({"fault": "no_blank_line"}, False, "fault"),
        ({"fault": "cut", "after": "lunch"}, True, "after"),
        ({"after": "words"}, True, "fault"),
        ({"fault": "cut", "after_tokens": 1}, False, "after_tokens"),
        ({"fault": "error_body", "after_bytes": 1}, True, "after_bytes"),
        ({"fault": "cut", "after": "words", "after_tokens": 1}, True, "after"),
    ],
)
def test_what_makes_no_sense_is_refused_by_field(raw: dict[str, Any], streamed: bool, param: str) -> None:
    with pytest.raises(Refused) as caught:
        read_fault(raw, streamed=streamed)
    assert (caught.value.status, caught.value.param) == (400, f"simulate.{param}")


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (Fault(FaultKind.CUT), 0),
        (Fault(FaultKind.CUT, after_chunks=3), 3),
        (Fault(FaultKind.STALL, after_chunks=99), 14),
        (Fault(FaultKind.NO_DONE), 12),
        (Fault(FaultKind.NO_DONE, after_chunks=5), 5),
    ],
)
def test_where_a_fault_stops_a_stream(fault: Fault, expected: int) -> None:
    assert stop_at(fault, count=14, finished_at=12) == expected
