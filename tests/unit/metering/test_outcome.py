"""What an ended request comes to, by who counted it."""

from typing import Any

import pytest
from msgspec.structs import replace

from metering.answer_tap import AnswerTap
from metering.formats import embeddings, images, messages
from metering.formats.format import Ask
from metering.injection import Removal
from metering.outcome import Counted, Report, report, resolve
from metering.reading import NOTHING, Reading
from metering.tap import StreamTap
from metering.usage import Usage

CHAT = Ask("m", is_stream=True)
COUNTED = Counted(prompt=9, output=4, is_tokenized=True)
CHUNK = b'data: {"choices":[{"index":0,"delta":{"content":"x"},"finish_reason":null}]}\n\n'
RUNNING = CHUNK[:-3] + b',"usage":{"prompt_tokens":7,"completion_tokens":%d}}\n\n'
LAST = RUNNING.replace(b"null", b'"stop"') % 3
START = b'data: {"type":"message_start","message":{"usage":{"input_tokens":12,"output_tokens":1}}}\n\n'


def stream(*events: bytes, **settings: Any) -> StreamTap:
    tap = StreamTap(**settings)
    for event in events:
        tap.feed(event)
    tap.finish()
    return tap


def answer(body: bytes, wire: Any = embeddings.FORMAT) -> AnswerTap:
    tap = AnswerTap(wire)
    tap.feed(body)
    tap.finish()
    return tap


@pytest.mark.parametrize(("is_complete", "source"), [(True, "reported"), (False, "partial")])
@pytest.mark.parametrize("removal", [Removal(), Removal(usage_chunk=True, nulls=True, running=True)])
def test_a_running_count_is_what_was_generated_so_far(is_complete: bool, source: str, removal: Removal) -> None:
    found = report(stream(*(RUNNING % n for n in (1, 2, 3)), removal=removal), is_complete=is_complete)
    assert resolve(CHAT, found, None) == (Usage(7, 0, 0, 3), source)


def test_a_running_count_is_not_asked_where_only_what_was_delivered_counts() -> None:
    found = report(stream(*(RUNNING % n for n in (1, 2))), is_complete=False, trusts_running=False)
    assert resolve(CHAT, found, COUNTED) == (Usage(7, 0, 0, 4), "tokenized")


def test_what_was_reported_with_the_finish_is_final_though_the_end_never_came() -> None:
    assert resolve(CHAT, report(stream(CHUNK, LAST), is_complete=False), None) == (Usage(7, 0, 0, 3), "reported")


def test_what_was_said_before_the_answer_counts_for_the_prompt_alone() -> None:
    found = report(stream(START, wire=messages.FORMAT), is_complete=False)
    assert not found.is_enough(CHAT)
    assert resolve(CHAT, found, COUNTED) == (Usage(12, 0, 0, 4), "tokenized")


def test_a_count_of_ours_is_never_below_what_the_server_said() -> None:
    found = report(stream(START, wire=messages.FORMAT), is_complete=False)
    assert resolve(CHAT, found, Counted(0, 0, is_tokenized=True)) == (Usage(12, 0, 0, 1), "tokenized")


@pytest.mark.parametrize(("is_tokenized", "source"), [(True, "tokenized"), (False, "estimated")])
@pytest.mark.parametrize("is_complete", [True, False])
def test_without_a_report_we_count(is_tokenized: bool, source: str, is_complete: bool) -> None:
    found = report(stream(CHUNK), is_complete=is_complete)
    assert resolve(CHAT, found, Counted(9, 4, is_tokenized)) == (Usage(9, 0, 0, 4), source)


def test_zero_reported_is_a_report() -> None:
    found = Report(Reading(prompt=0, completion=0), is_final=True, is_partial=False)
    assert resolve(CHAT, found, None) == (Usage(), "reported")


def test_a_prompt_that_was_left_out_is_counted() -> None:
    found = Report(Reading(completion=3), is_final=True, is_partial=False)
    assert resolve(CHAT, found, COUNTED) == (Usage(9, 0, 0, 3), "tokenized")


@pytest.mark.parametrize(
    ("wire", "body", "usage"),
    [
        (embeddings.FORMAT, b'{"usage":{"prompt_tokens":5}}', Usage(5)),
        (images.FORMAT, b'{"data":[{},{}]}', Usage(images=2)),
    ],
)
def test_what_generates_no_tokens_lacks_none(wire: Any, body: bytes, usage: Usage) -> None:
    found = report(answer(body, wire), is_complete=True)
    assert resolve(Ask("m", generates=False), found, None) == (usage, "reported")


def test_nothing_is_enough_where_nothing_was_said() -> None:
    found = report(stream(), is_complete=False)
    assert found == Report(NOTHING, is_final=False, is_partial=False)
    assert found.lacks_prompt() and found.lacks_output(CHAT)


def test_a_recording_of_which_nobody_reported_is_as_long_as_it_probably_is() -> None:
    counted = Counted(prompt=5, output=4, is_tokenized=False, audio_ms=12_000)
    assert resolve(Ask("whisper"), report(stream(), is_complete=True), counted) == (
        Usage(5, 0, 0, 4, audio_ms=12_000),
        "estimated",
    )
    reported = Report(Reading(audio_ms=9_000), is_final=True, is_partial=False)
    assert resolve(Ask("whisper"), reported, None) == (Usage(audio_ms=9_000), "reported")


def test_all_that_was_said_of_the_prompt_stays_when_the_answer_is_cut() -> None:
    kept = Reading(prompt=12, completion=1, cached=100, cache_write=20, audio_input=2, is_cache_outside=True)
    tap = StreamTap(wire=messages.FORMAT)
    tap.tally.note(replace(kept, reasoning=9))
    found = report(tap, is_complete=False)
    assert found.reading == kept
    usage, source = resolve(CHAT, found, COUNTED)
    assert (usage, source) == (Usage(10, 100, 20, 4, audio_input_tokens=2), "tokenized")
