from typing import Any

import pytest

from metering.formats.audio import (
    ask_speech,
    ask_transcription,
    read_speech,
    read_subtitles,
    read_transcription,
    transcription_texts,
)
from metering.formats.format import Ask, InvalidAsk
from metering.reading import NOTHING, Reading


@pytest.mark.parametrize(("stream", "is_stream"), [({}, False), ({"stream": "true"}, True), ({"stream": "0"}, False)])
def test_a_forms_fields_are_texts(stream: dict[str, Any], is_stream: bool) -> None:
    assert ask_transcription({"model": "m", **stream}) == Ask("m", is_stream=is_stream)


@pytest.mark.parametrize(
    ("seconds", "audio_ms"),
    [(9, 9000), (8.4700002, 8471), ("12.5", 12_500), (0, 0), (-1, None), ("x", None), (True, None), (10**9, None)],
)
def test_seconds_to_the_millisecond_above(seconds: Any, audio_ms: int | None) -> None:
    said = read_transcription({"text": "a", "usage": {"type": "duration", "seconds": seconds}})
    assert said.usage.audio_ms == audio_ms


def test_tokens_of_sound_and_of_text() -> None:
    details = {"text_tokens": 4, "audio_tokens": 10}
    usage = {"type": "tokens", "input_tokens": 14, "output_tokens": 3, "input_token_details": details}
    assert read_transcription({"usage": usage}).usage == Reading(prompt=14, completion=3, audio_input=10)


@pytest.mark.parametrize(
    ("text", "reading"),
    [
        ("", NOTHING),
        ("WEBVTT\n\n00:01.000 --> 00:02.500\na\n", Reading(audio_ms=2500)),
        ("1\n00:00:01,000 --> 01:00:00,001\na\n", Reading(audio_ms=3_600_001)),
        ("00:09.000 --> 00:09.900\na\n\n00:01.000 --> 00:02.000\nb", Reading(audio_ms=9900)),
        ("just text --> no", NOTHING),
    ],
)
def test_subtitles_say_when_they_end(text: str, reading: Reading) -> None:
    assert read_subtitles(text) == reading


def test_what_was_said() -> None:
    assert list(transcription_texts({"type": "transcript.text.delta", "delta": "a"})) == [("text", "a")]
    assert list(transcription_texts({"text": "a"})) == [("text", "a")]


def test_speech_generates_no_text() -> None:
    asked = ask_speech({"model": "m", "input": "hi", "stream_format": "sse"})
    assert asked == Ask("m", is_stream=True, generates=False)
    with pytest.raises(InvalidAsk, match="input"):
        ask_speech({"model": "m"})


def test_speech_as_events_ends_with_its_usage() -> None:
    said = read_speech({"type": "speech.audio.done", "usage": {"input_tokens": 1, "output_tokens": 2}})
    assert (said.usage, said.is_end) == (Reading(prompt=1, completion=2), True)
