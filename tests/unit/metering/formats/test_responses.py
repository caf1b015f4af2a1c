from typing import Any

import pytest

from metering.formats.format import Ask, InvalidAsk
from metering.formats.responses import ask, read, read_usage, texts
from metering.reading import NOTHING, Reading


def test_what_is_asked_for() -> None:
    asked = ask({"model": "m", "input": "hi", "stream": True, "max_output_tokens": 9})
    assert asked == Ask("m", is_stream=True, output_limit=9)


@pytest.mark.parametrize(
    ("kind", "is_end", "is_error"),
    [
        ("response.created", False, False),
        ("response.in_progress", False, False),
        ("response.completed", True, False),
        ("response.incomplete", True, False),
        ("response.failed", True, True),
        ("response.cancelled", True, False),
        ("error", True, True),
    ],
)
def test_which_event_is_the_last(kind: str, is_end: bool, is_error: bool) -> None:
    said = read({"type": kind, "response": {"status": kind.partition(".")[2], "usage": None}})
    assert (said.is_end, said.is_error, said.usage) == (is_end, is_error, NOTHING)


def test_a_failed_answer_is_an_error() -> None:
    assert read({"object": "response", "status": "failed", "error": {"code": "server_error"}}).is_error
    assert not read({"object": "response", "status": "incomplete", "error": None}).is_error


def test_its_parts() -> None:
    usage = {
        "input_tokens": 10,
        "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 3, "audio_tokens": 1},
        "output_tokens": 8,
        "output_tokens_details": {"reasoning_tokens": 5, "audio_tokens": 2},
        "total_tokens": 18,
    }
    assert read_usage(usage) == Reading(10, 8, 18, 4, 3, 5, 1, 2)


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ({"type": "response.output_text.delta", "delta": "a"}, ["a"]),
        ({"type": "response.function_call_arguments.delta", "delta": "{}"}, ["{}"]),
        ({"type": "response.reasoning_summary_text.delta", "delta": "b"}, ["b"]),
        ({"type": "response.output_text.done", "text": "a"}, []),
        ({"type": "response.completed", "response": {"output": [{"content": [{"text": "a"}]}]}}, []),
        (
            {"output": [{"content": [{"text": "a"}]}, {"arguments": "{}"}, {"summary": [{"text": "s"}]}]},
            ["a", "{}", "s"],
        ),
        ({"output": None}, []),
    ],
)
def test_what_was_said_counts_once(said: dict[str, Any], found: list[str]) -> None:
    assert [text for _, text in texts(said)] == found


def test_what_would_be_fetched_later_could_not_be_metered() -> None:
    with pytest.raises(InvalidAsk, match="background"):
        ask({"model": "m", "input": "hi", "background": True})
