"""The most that a request can use, in every format: what a hold is made of."""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct
from msgspec.structs import astuple

from metering.estimate.audio import audio_ms
from metering.estimate.images import drawn_tokens, tokens_of_all
from metering.estimate.parts import Parts, parts_of
from metering.estimate.plain import plain_chat_tokens
from metering.estimate.text import most_tokens
from metering.formats.format import Ask
from metering.kinds import Kind

# Three tokens frame a message (OpenAI cookbook); chat templates of open models use up to 8, of which 3 are those of any
# item of a list. A system prompt of their own (Llama's date and knowledge lines, Qwen's "You are Qwen") has up to 40;
# to explain tools, up to 350 (Qwen, Mistral, Anthropic's documentation).
_MESSAGE_TOKENS = 5
_TEMPLATE_TOKENS = 48
_TOOLS_TEMPLATE_TOKENS = 350
# The beginning, the end and the separators of each text that is read by itself.
_READ_TOKENS = 4
# An earlier answer, a stored template, an uploaded file, a film, a search: nobody tells how long.
_HIDDEN_TOKENS = 16_384
# OpenAI 10, Voxtral 12.5, Qwen 25, Gemini 32.
_AUDIO_TOKENS_PER_S = 32
_AUDIO_TOKENS_PER_S_OF_OPENAI = 10
# Speech models report what they spoke, 20 tokens a second, of ten letters or more.
_SPOKEN_TOKENS_PER_BYTE = 2
_SLOWEST = 4  # `speed` may be a quarter


class Bound(Struct, frozen=True):
    """What a request may use at most, as far as can be told: tokens, pictures made, milliseconds of audio."""

    input_tokens: int = 0
    output_tokens: int = 0
    audio_input_tokens: int = 0
    audio_output_tokens: int = 0
    images: int = 0
    audio_ms: int = 0


def highest(one: Bound, other: Bound) -> Bound:
    """What is enough for both, each kind by itself."""
    return Bound(*(max(pair) for pair in zip(astuple(one), astuple(other), strict=True)))


def bound(
    ask: Ask, fields: Mapping[str, Any], default_output_tokens: int, kind: Kind, *, context_tokens: int | None = None
) -> Bound:
    """Without a limit of its own, the model's default applies to each answer of a request.

    `context_tokens`: no more can be read at once, whatever a body holds; None where the operator did not say.
    """
    if ask.generates and (plain := plain_chat_tokens(fields, _MESSAGE_TOKENS)) is not None:
        text = plain + _TEMPLATE_TOKENS + _READ_TOKENS
        if context_tokens is not None:
            text = min(text, context_tokens * max(1, ask.prompts))
        limit = default_output_tokens if ask.output_limit is None else ask.output_limit
        return Bound(text, limit * answers_of(ask, kind), images=ask.images)
    parts = parts_of(fields)
    text, audio = _input_tokens(ask.model, fields, parts), _audio_tokens(ask.model, parts)
    if context_tokens is not None:
        room = context_tokens * max(parts.reads, ask.prompts)
        audio = min(audio, room)  # first, as it is the dearer
        text = min(text, room - audio)
    output = _output_tokens(ask, fields, default_output_tokens, kind)
    is_spoken = isinstance(modalities := fields.get("modalities"), list) and "audio" in modalities
    return Bound(
        input_tokens=text,
        output_tokens=0 if is_spoken else output,
        audio_input_tokens=audio,
        audio_output_tokens=output if is_spoken else 0,
        images=ask.images,
        audio_ms=sum(audio_ms(each) for each in parts.media.recordings if each.is_upload),
    )


def _input_tokens(model: str, fields: Mapping[str, Any], parts: Parts) -> int:
    framed = _TEMPLATE_TOKENS + (_TOOLS_TEMPLATE_TOKENS if fields.get("tools") or fields.get("functions") else 0)
    return (
        framed
        + _MESSAGE_TOKENS * parts.messages
        + _READ_TOKENS * parts.reads
        + sum(most_tokens(text) for text in parts.texts)
        + most_tokens(parts.query) * (parts.reads - 1)
        + parts.structure
        + parts.token_ids
        + tokens_of_all(model, parts.media.images)
        + parts.media.file_bytes
        + _HIDDEN_TOKENS * parts.media.hidden
    )


def _audio_tokens(model: str, parts: Parts) -> int:
    if not parts.media.recordings:
        return 0
    a_second = _AUDIO_TOKENS_PER_S_OF_OPENAI if model.startswith(("gpt-", "whisper")) else _AUDIO_TOKENS_PER_S
    return sum(-(-audio_ms(each) * a_second // 1000) + a_second for each in parts.media.recordings)


def _output_tokens(ask: Ask, fields: Mapping[str, Any], default_output_tokens: int, kind: Kind) -> int:
    if not ask.generates:
        return drawn_tokens(ask.model, ask.images, fields.get("quality")) + _spoken_tokens(ask, fields)
    limit = default_output_tokens if ask.output_limit is None else ask.output_limit
    return (limit + _predicted_tokens(fields)) * answers_of(ask, kind)


def answers_of(ask: Ask, kind: Kind) -> int:
    """How many answers are generated side by side."""
    return ask.prompts * (ask.candidates if kind.honours_n else 1)


def _predicted_tokens(fields: Mapping[str, Any]) -> int:
    """OpenAI bills what a prediction got wrong as output."""
    prediction = fields.get("prediction")
    return sum(most_tokens(text) for text in parts_of(prediction).texts) if isinstance(prediction, dict) else 0


def _spoken_tokens(ask: Ask, fields: Mapping[str, Any]) -> int:
    """Speech is reported only where it comes as events."""
    text = fields.get("input")
    if not ask.is_stream or ask.images or not isinstance(text, str):
        return 0
    return _SPOKEN_TOKENS_PER_BYTE * _SLOWEST * most_tokens(text)
