"""What texts probably come to, and which texts to count: for billing where nobody reports, marked as such."""

from collections.abc import Mapping
from typing import Any

from metering.estimate.audio import USUAL_BYTES_PER_S, audio_ms
from metering.estimate.images import tokens_of_all
from metering.estimate.parts import Parts, parts_of
from metering.estimate.text import utf8_bytes

# English in today's tokenizers; others come to more, and are counted by a tokenizer where there is one.
_BYTES_PER_TOKEN = 4
# Three tokens frame a message and three prime the reply (OpenAI cookbook, How to count tokens with tiktoken).
_MESSAGE_TOKENS = 3
_PRIMING_TOKENS = 3
# What a model reads for certain, in the order in which it reads it; the rest of a request is control, mostly.
_READ = (
    *("tools", "functions", "system", "instructions", "context", "query", "documents", "messages", "prompt", "suffix"),
    *("input", "images", "image", "image[]", "mask", "file"),
)
# A picture that we do not see.
_USUAL_SIZE = (1024, 1024)
_AUDIO_TOKENS_PER_S = 10
# Most of a PDF is fonts and pictures.
_FILE_BYTES_PER_TOKEN = 16


def likely_tokens_in(text_bytes: int) -> int:
    """What so many bytes of text probably come to."""
    return -(-text_bytes // _BYTES_PER_TOKEN)


def prompt_texts(fields: Mapping[str, Any]) -> list[str]:
    """The texts of a prompt that a tokenizer is to count, in their order: roles and names too, schemas as JSON."""
    return _read(fields).texts


def _read(fields: Mapping[str, Any]) -> Parts:
    return parts_of({name: fields[name] for name in _READ if name in fields})


def prompt_overhead(fields: Mapping[str, Any]) -> int:
    """What a prompt costs beside its texts: the frame of each message, token ids, media.

    A query that is read again with each document costs so here, after the first time.
    """
    parts = _read(fields)
    framed = _MESSAGE_TOKENS * parts.messages + _PRIMING_TOKENS if isinstance(fields.get("messages"), list) else 0
    queries = likely_tokens_in(utf8_bytes(parts.query)) * (parts.reads - 1)
    return framed + queries + parts.token_ids + _of_media(fields.get("model"), parts)


def likely_prompt_tokens(fields: Mapping[str, Any]) -> int:
    """What a prompt probably comes to, by its length."""
    return prompt_overhead(fields) + likely_tokens_in(sum(map(utf8_bytes, prompt_texts(fields))))


def media_tokens(fields: Mapping[str, Any]) -> int:
    """What pictures, recordings and files of a prompt probably come to."""
    return _of_media(fields.get("model"), _read(fields))


def likely_audio_ms(fields: Mapping[str, Any]) -> int:
    """How long the recordings probably are that came in a form, for what is billed by the minute."""
    return sum(audio_ms(each, USUAL_BYTES_PER_S) for each in _read(fields).media.recordings if each.is_upload)


def _of_media(model: object, parts: Parts) -> int:
    name = model if isinstance(model, str) else ""
    recorded_ms = sum(audio_ms(each, USUAL_BYTES_PER_S) for each in parts.media.recordings)
    return (
        tokens_of_all(name, parts.media.images, _USUAL_SIZE)
        + recorded_ms * _AUDIO_TOKENS_PER_S // 1000
        + parts.media.file_bytes // _FILE_BYTES_PER_TOKEN
    )
