"""OpenAI's audio: speech to text, and text to speech.

A transcription reports tokens, or the seconds of audio; as subtitles (srt, vtt) it reports nothing, but says when
it ends. Speech is sound without a report, unless it is streamed as events.
"""

import re
from collections.abc import Iterator

from metering.formats.format import (
    Ask,
    InvalidAsk,
    JsonObject,
    Piece,
    Said,
    WireFormat,
    deciding,
    flag,
    model_of,
    strings,
)
from metering.formats.openai_usage import is_error
from metering.formats.responses import read_usage
from metering.reading import NOTHING, Reading, object_of

# Longer than any recording that somebody uploads: a week.
_MAX_SECONDS = 7 * 24 * 3600
_CUE_END = re.compile(r"-->[ \t]*(?:(\d{1,3}):)?(\d{2}):(\d{2})[.,](\d{3})")


def ask_transcription(fields: JsonObject) -> Ask:
    # a form's fields are texts; its files are handed over by their size
    return Ask(model_of(fields), is_stream=str(fields.get("stream", "")).lower() == "true")


def read_transcription(said: JsonObject) -> Said:
    is_last = said.get("type") == "transcript.text.done"
    reading = _reading(said)
    return Said(usage=reading, is_error=is_error(said), is_finish=is_last, is_end=is_last)


def _reading(said: JsonObject) -> Reading:
    usage = object_of(said.get("usage"))
    audio_ms = _ms(usage.get("seconds")) if usage.get("type") == "duration" else None
    if audio_ms is None and not usage:  # verbose_json of before there was `usage`
        audio_ms = _ms(said.get("duration"))
    details = object_of(usage.get("input_token_details"))
    # transcriptions say `input_token_details`, all others `input_tokens_details`
    tokens = read_usage({"input_tokens_details": details, **usage}) if usage else NOTHING
    return tokens if audio_ms is None else tokens.updated(Reading(audio_ms=audio_ms))


def read_subtitles(text: str) -> Reading:
    """What srt and vtt bodies say without meaning to: the end of the last cue."""
    ends = [_cue_ms(*match.groups()) for match in _CUE_END.finditer(text)]
    return Reading(audio_ms=max(ends)) if ends else NOTHING


def _cue_ms(hours: str | None, minutes: str, seconds: str, ms: str) -> int:
    return ((int(hours or 0) * 60 + int(minutes)) * 60 + int(seconds)) * 1000 + int(ms)


def _ms(seconds: object) -> int | None:
    """Seconds, whole or not, to the millisecond above; some servers write them as text."""
    if isinstance(seconds, str):
        try:
            seconds = float(seconds)
        except ValueError:
            return None
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds <= _MAX_SECONDS:
        return None
    return -int(-seconds * 1000 // 1)


def transcription_texts(said: JsonObject) -> Iterator[Piece]:
    """The last event of a stream says it all again."""
    kind = said.get("type")
    for text in strings(said.get("delta") if kind == "transcript.text.delta" else None if kind else said.get("text")):
        yield "text", text


def ask_speech(fields: JsonObject) -> Ask:
    model = model_of(fields)
    if not isinstance(fields.get("input"), str):
        raise InvalidAsk("`input` must be a text.", "input")
    flag(fields, "stream")
    return Ask(model, is_stream=fields.get("stream_format") == "sse", generates=False)


def read_speech(said: JsonObject) -> Said:
    is_last = said.get("type") == "speech.audio.done"
    return Said(usage=read_usage(said.get("usage")), is_error=is_error(said), is_finish=is_last, is_end=is_last)


TRANSCRIPTION = WireFormat(
    "transcription",
    ask_transcription,
    read_transcription,
    transcription_texts,
    marks=(b'"usage"', b'"error"', b'"transcript.text.done"'),
    text_fields=("delta",),
)
SPEECH = WireFormat(
    "speech",
    ask_speech,
    read_speech,
    lambda _: iter(()),
    marks=(b'"usage"', b'"error"', b'"speech.audio.done"'),
    decides=deciding("input", "stream_format"),
    ends_long=True,
)
