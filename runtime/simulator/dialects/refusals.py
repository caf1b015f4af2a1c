"""Which options a kind of server refuses, and the shapes in which each says no or breaks off."""

from collections.abc import Mapping
from typing import Any

import orjson

from runtime.simulator.errors import Refused, error_body, invalid
from runtime.simulator.kinds import Format, Kind
from runtime.simulator.orders import Orders

# Azure's API knows `stream_options` since then.
AZURE_KNOWS_SINCE = "2024-09-01"
_ANTHROPIC = (Format.MESSAGES, Format.COUNT_MESSAGES)
_OLLAMA_NATIVE = (Format.OLLAMA_CHAT, Format.OLLAMA_GENERATE, Format.OLLAMA_EMBED)
_SAMPLED = (Format.CHAT, Format.COMPLETIONS)
_TRTLLM_OPTIONS = frozenset(("include_usage", "continuous_usage_stats"))
_TRTLLM_FIELDS = frozenset(
    (
        *("model", "messages", "prompt", "simulate", "stream", "stream_options", "max_tokens", "max_completion_tokens"),
        *("n", "best_of", "temperature", "top_p", "top_k", "stop", "seed", "user", "logprobs", "top_logprobs", "echo"),
        *("frequency_penalty", "presence_penalty", "logit_bias", "response_format", "tools", "tool_choice", "suffix"),
        *("min_p", "repetition_penalty", "ignore_eos", "min_tokens", "skip_special_tokens", "add_special_tokens"),
        *("chat_template", "chat_template_kwargs", "add_generation_prompt", "reasoning_effort", "lora_request"),
    )
)


class Shaped(Refused):
    """A refusal whose body is in a server's own shape."""

    def __init__(self, status: int, value: object) -> None:
        super().__init__(status, "refused")
        self.value = value

    def body(self) -> bytes:
        return orjson.dumps(self.value)


def check_options(
    kind: Kind, format_: Format, raw: Mapping[str, Any], orders: Orders, *, streamed: bool, api_version: str | None
) -> None:
    """Raises Refused for what this kind does not take."""
    options = raw.get("stream_options")
    if format_ not in _SAMPLED:
        return
    if orders.details.refuse_stream_options and options is not None:
        raise invalid("Unrecognized request argument supplied: stream_options", "stream_options")
    match kind:
        case Kind.VLLM if options and not streamed:
            raise invalid("Stream options can only be defined when `stream=True`.", "stream_options")
        case Kind.GENERIC | Kind.OPENAI if options is not None and not streamed:
            raise invalid("The 'stream_options' parameter is only allowed when 'stream' is enabled.", "stream_options")
        case Kind.AZURE if options is not None and api_version is not None and api_version[:10] < AZURE_KNOWS_SINCE:
            raise invalid("Unrecognized request argument supplied: stream_options", "stream_options")
        case Kind.MISTRAL if isinstance(options, dict) and "include_usage" in options:
            raise Shaped(422, _extra_forbidden(("stream_options", "include_usage"), options["include_usage"]))
        case Kind.TRTLLM:
            _check_unknown(raw, options)
        case Kind.TGI if raw.get("max_tokens") is not None and raw.get("max_completion_tokens") is not None:
            raise Refused(422, "Failed to deserialize the JSON body into the target type: duplicate field `max_tokens`")
        case _:
            pass


def _check_unknown(raw: Mapping[str, Any], options: object) -> None:
    """TensorRT-LLM's request models forbid extra fields, at every depth."""
    unknown = sorted(raw.keys() - _TRTLLM_FIELDS)
    if isinstance(options, dict):
        unknown += [f"stream_options.{name}" for name in sorted(options.keys() - _TRTLLM_OPTIONS)]
    if unknown:
        raise invalid(f"Extra inputs are not permitted: {unknown[0]}", unknown[0])


def _extra_forbidden(where: tuple[str, ...], value: object) -> dict[str, Any]:
    message = "Extra inputs are not permitted"
    return {
        "object": "error",
        "message": {
            "detail": [{"type": "extra_forbidden", "loc": ["body", *where], "msg": message, "input": value}],
        },
        "type": "invalid_request_error",
        "param": None,
        "code": None,
    }


def shaped(refused: Refused, kind: Kind, format_: Format) -> Refused:
    """The same refusal as this kind of server words it."""
    if isinstance(refused, Shaped) or (kind in (Kind.GENERIC, Kind.OPENAI, Kind.AZURE) and format_ not in _ANTHROPIC):
        return refused
    return Shaped(refused.status, error_value(refused, kind, format_))


def error_value(refused: Refused, kind: Kind, format_: Format) -> object:
    """The body of an error answer."""
    status, message = refused.status, refused.message
    if format_ in _ANTHROPIC:
        return {"type": "error", "error": {"type": anthropic_type(status), "message": message}}
    if format_ in _OLLAMA_NATIVE:
        return {"error": message}
    match kind:
        case Kind.VLLM:
            error = {"message": message, "type": python_type(status), "param": refused.param, "code": status}
            return {"error": error}
        case Kind.SGLANG | Kind.TRTLLM:
            flat = {"message": message, "type": python_type(status), "param": refused.param, "code": status}
            return {"object": "error"} | flat
        case Kind.MISTRAL:
            return {"object": "error", "message": message, "type": refused.kind, "param": refused.param, "code": None}
        case Kind.LLAMACPP:
            return {"error": {"code": status, "message": message, "type": refused.kind}}
        case Kind.TGI:
            return {"error": message, "error_type": "validation" if status < 500 else "generation"}
        case Kind.OPENROUTER:
            return {"error": {"code": status, "message": message}}
        case _:
            return orjson.loads(error_body(message, refused.kind, code=refused.code, param=refused.param))


def python_type(status: int) -> str:
    """The name that servers written in Python give an error's class."""
    return {400: "BadRequestError", 404: "NotFoundError"}.get(status, "InternalServerError")


def anthropic_type(status: int) -> str:
    names = {401: "authentication_error", 403: "permission_error", 404: "not_found_error", 429: "rate_limit_error"}
    return names.get(
        status, "overloaded_error" if status == 529 else "api_error" if status >= 500 else "invalid_request_error"
    )
