import pytest

from metering.outcome import resolve
from metering.tap import AnswerTap, StreamTap, Tap
from metering.usage import Reading, Usage

REQUEST = {"messages": [{"role": "user", "content": "x" * 36}]}
LIKELY_INPUT = 8 + (36 + len("user")) // 4


def stream(chunks: int, reading: Reading | None = None) -> StreamTap:
    return StreamTap(remove_usage=False, chunks_seen=chunks, reading=reading or Reading())


def answer(body: bytes) -> AnswerTap:
    tap = AnswerTap()
    tap.feed(body)
    tap.finish()
    return tap


@pytest.mark.parametrize(("is_complete", "source"), [(True, "reported"), (False, "partial")])
def test_the_servers_own_count_goes_before_what_was_seen(is_complete: bool, source: str) -> None:
    tap = stream(100, Reading(prompt=5, completion=2))
    assert resolve(REQUEST, tap, is_complete=is_complete) == (Usage(5, 0, 0, 2), source)


def test_zero_reported_is_a_report() -> None:
    assert resolve(REQUEST, stream(100, Reading(prompt=0, completion=0)), is_complete=True) == (Usage(), "reported")


@pytest.mark.parametrize("is_complete", [True, False])
def test_without_a_report_what_passed_is_counted(is_complete: bool) -> None:
    expected = (Usage(input_tokens=LIKELY_INPUT, output_tokens=9), "estimated")
    assert resolve(REQUEST, stream(10), is_complete=is_complete) == expected


@pytest.mark.parametrize(
    "tap", [stream(0), stream(1), answer(b""), answer(b'{"error":{"message":"no"},"choices":["a"]}')]
)
def test_nothing_seen_is_nothing_used(tap: Tap) -> None:
    assert resolve(REQUEST, tap, is_complete=True) == (Usage(), "none")


def test_an_answer_in_a_tongue_we_do_not_know_is_counted_by_its_bytes() -> None:
    usage, source = resolve(REQUEST, answer(b"<html></html>"), is_complete=True)
    assert (usage, source) == (Usage(input_tokens=LIKELY_INPUT, output_tokens=4), "estimated")


def test_an_answer_without_a_report_is_counted_by_its_text() -> None:
    usage, source = resolve(REQUEST, answer(b'{"choices":["%s"]}' % (b"x" * 40)), is_complete=True)
    assert (usage, source) == (Usage(input_tokens=LIKELY_INPUT, output_tokens=10), "estimated")
