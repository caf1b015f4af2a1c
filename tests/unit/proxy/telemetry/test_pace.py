"""What follows from when things happened."""

import pytest

from proxy.telemetry import pace as module
from proxy.telemetry.pace import Pace


@pytest.fixture(autouse=True)
def _now(monkeypatch: pytest.MonkeyPatch) -> None:
    """It begins after a second, and ends a quarter of a second later."""
    monkeypatch.setattr(module, "monotonic_ns", lambda: 1_250_000_000)


def closed(uploading_ns: int = 0, sent_ns: int = 0, first_ns: int = 0) -> Pace:
    made = Pace(1_000_000_000)
    made.uploading_ns, made.sent_ns = uploading_ns, sent_ns
    made.close(first_ns)
    return made


def test_what_farebox_took_is_without_the_clients_upload() -> None:
    assert closed(uploading_ns=8_000_000, sent_ns=1_009_000_000).added_us == 1_000


def test_what_did_not_happen_took_no_time() -> None:
    made = closed()
    assert (made.duration_ms, made.added_us, made.first_byte_us) == (250, None, None)


def test_an_answer_that_never_began_has_no_first_byte() -> None:
    assert closed(sent_ns=1_001_000_000).first_byte_us is None


def test_the_first_byte_is_waited_for_from_the_sending_on() -> None:
    made = closed(sent_ns=1_150_000_000, first_ns=1_240_000_000)
    assert (made.added_us, made.first_byte_us) == (150_000, 90_000)
