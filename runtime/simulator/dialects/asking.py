"""Request -> job, with what each kind of server makes of the options: honours, ignores or refuses them."""

from collections.abc import Mapping
from typing import Any

from runtime.simulator import fields
from runtime.simulator.dialects.job import Job
from runtime.simulator.dialects.prompts import count_prompts
from runtime.simulator.dialects.refusals import check_options
from runtime.simulator.errors import invalid
from runtime.simulator.kinds import TRAITS, Format, Kind
from runtime.simulator.orders import MAX_CONTENT_BYTES, MAX_TOKENS, read_orders
from runtime.simulator.plan import MAX_ASKED_TOKENS, MAX_CHOICES, read_model
from runtime.simulator.settings import SimulatorSettings

_OLLAMA_NATIVE = (Format.OLLAMA_CHAT, Format.OLLAMA_GENERATE)
# Answers without tokens of their own.
_NO_OUTPUT = (Format.EMBEDDINGS, Format.RERANK, Format.OLLAMA_EMBED)
_SAMPLED = (Format.CHAT, Format.COMPLETIONS)
_AUDIO = (Format.TRANSCRIPTIONS, Format.TRANSLATIONS)
AUDIO_TOKENS_PER_SECOND = 10


def read_job(
    kind: Kind,
    format_: Format,
    raw: Mapping[str, Any],
    settings: SimulatorSettings,
    *,
    api_version: str | None,
    answer_id: str,
    created: int,
) -> Job:
    """The job for a parsed body; `api_version` is Azure's. Raises Refused."""
    streamed = is_streamed(format_, raw)
    orders = read_orders(raw.get("simulate"), settings, streamed=streamed)
    check_options(kind, format_, raw, orders, streamed=streamed, api_version=api_version)
    include_usage, running = _read_usage_options(kind, raw.get("stream_options"))
    prompts = _prompts(format_, raw, orders.details.prompt_tokens, orders.details.seconds)
    n, candidates = _read_choices(kind, format_, raw, streamed=streamed)
    cap = _read_cap(kind, format_, raw)
    tokens = 0 if format_ in _NO_OUTPUT else orders.tokens
    tokens = tokens if cap is None else min(cap, tokens)
    size = (orders.content_bytes or 0) * n * len(prompts)
    if tokens * candidates * len(prompts) > MAX_TOKENS or size > MAX_CONTENT_BYTES:
        raise invalid("'n' times what is ordered is more than this server gives", "n")
    return Job(
        kind=kind,
        format=format_,
        model=read_model(raw.get("model"), settings.models),
        prompts=prompts,
        tokens=tokens,
        n=n,
        candidates=candidates,
        finish_reason=orders.details.finish_reason or ("length" if tokens < orders.tokens else "stop"),
        streamed=streamed,
        include_usage=include_usage and orders.usage,
        running=running and orders.usage,
        orders=orders,
        raw=raw,
        answer_id=answer_id,
        created=created,
    )


def is_streamed(format_: Format, raw: Mapping[str, Any]) -> bool:
    """Ollama's own formats stream unless told not to; speech has an option of its own."""
    if format_ in _OLLAMA_NATIVE:
        return fields.flag(raw, "stream") is not False
    if format_ is Format.SPEECH:
        return True
    return format_ not in _NO_OUTPUT and fields.flag(raw, "stream") is True


def _prompts(format_: Format, raw: Mapping[str, Any], ordered: int | None, seconds: int) -> tuple[int, ...]:
    prompts = count_prompts(format_, raw)
    if ordered is not None:
        return (ordered,) * len(prompts)
    if format_ in _AUDIO:
        return (prompts[0] + seconds * AUDIO_TOKENS_PER_SECOND,)
    return prompts


def _read_usage_options(kind: Kind, options: object) -> tuple[bool, bool]:
    """Whether usage is to be sent at the end, and whether on every chunk."""
    if options is None:
        return False, False
    if not isinstance(options, dict):
        raise invalid("'stream_options' must be an object", "stream_options")
    asked = fields.flag(options, "include_usage", path="stream_options.")
    if asked is None:  # the field's default is true with these two
        asked = kind in (Kind.VLLM, Kind.TRTLLM)
    running = TRAITS[kind].running and fields.flag(options, "continuous_usage_stats", path="stream_options.") is True
    return asked, running and (asked or kind is Kind.SGLANG)


def _read_choices(kind: Kind, format_: Format, raw: Mapping[str, Any], *, streamed: bool) -> tuple[int, int]:
    """Choices per prompt, and candidates they are chosen from."""
    if format_ in (Format.IMAGES, Format.IMAGE_EDITS):
        n = fields.whole(raw, "n", 1, MAX_CHOICES) or 1
        return n, n
    if format_ not in _SAMPLED or not TRAITS[kind].honours_n:
        return 1, 1
    n = fields.whole(raw, "n", 1, MAX_CHOICES) or 1
    best_of = fields.whole(raw, "best_of", 1, MAX_CHOICES) if format_ is Format.COMPLETIONS else None
    if best_of is None or best_of == n:
        return n, n
    if best_of < n or streamed:
        raise invalid("'best_of' must not be below 'n', and cannot be streamed", "best_of")
    return n, best_of


def _read_cap(kind: Kind, format_: Format, raw: Mapping[str, Any]) -> int | None:
    if format_ in _OLLAMA_NATIVE:
        options = raw.get("options")
        if not isinstance(options, dict) or options.get("num_predict") in (-1, -2):  # without a limit
            return None
        return fields.whole(options, "num_predict", 1, MAX_ASKED_TOKENS, path="options.")
    if format_ is Format.RESPONSES:
        return fields.whole(raw, "max_output_tokens", 1, MAX_ASKED_TOKENS)
    if format_ is Format.MESSAGES:
        return fields.whole(raw, "max_tokens", 1, MAX_ASKED_TOKENS)
    if format_ is Format.COMPLETIONS:
        return fields.whole(raw, "max_tokens", 1, MAX_ASKED_TOKENS)
    if format_ is not Format.CHAT:
        return None
    given = [fields.whole(raw, name, 1, MAX_ASKED_TOKENS) for name in TRAITS[kind].limits]
    caps = [cap for cap in given if cap is not None]
    if kind is Kind.VLLM:  # the first that is given
        return caps[0] if caps else None
    return min(caps, default=None)
