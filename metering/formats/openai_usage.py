"""The `usage` object of OpenAI's chat and completions, in all the spellings that servers have given it."""

from typing import Any

from metering.formats.format import JsonObject
from metering.reading import NOTHING, Reading, count, first_count, object_of


def read_usage(usage: Any) -> Reading:
    """Anything that is not a count of tokens is as if it were not there.

    Sources: the servers' own (usage-carrying types of openai-python, vLLM, SGLang, DeepSeek, OpenRouter, Moonshot).
    """
    if not isinstance(usage, dict):
        return NOTHING
    inputs, outputs = object_of(usage.get("prompt_tokens_details")), object_of(usage.get("completion_tokens_details"))
    return Reading(
        prompt=count(usage.get("prompt_tokens")),
        completion=count(usage.get("completion_tokens")),
        total=count(usage.get("total_tokens")),
        # DeepSeek counts hits beside OpenAI's field, Moonshot at the top
        cached=first_count(
            inputs.get("cached_tokens"), usage.get("prompt_cache_hit_tokens"), usage.get("cached_tokens")
        ),
        cache_write=count(inputs.get("cache_write_tokens")),
        # SGLang has it at the top
        reasoning=first_count(outputs.get("reasoning_tokens"), usage.get("reasoning_tokens")),
        audio_input=count(inputs.get("audio_tokens")),
        audio_output=count(outputs.get("audio_tokens")),
    )


def read_timings(timings: Any) -> Reading:
    """llama.cpp's: `prompt_n` leaves out what came from its cache."""
    if not isinstance(timings, dict):
        return NOTHING
    fresh, cached = count(timings.get("prompt_n")), count(timings.get("cache_n"))
    prompt = None if fresh is None else fresh + (cached or 0)
    return Reading(prompt=prompt, completion=count(timings.get("predicted_n")), cached=cached)


def usage_of(chunk: JsonObject) -> Reading:
    """Wherever a chunk may have it: at the top, in Groq's `x_groq`, in a choice (Moonshot), in llama.cpp's timings."""
    found = read_timings(chunk.get("timings"))
    for place in (object_of(chunk.get("x_groq")), *_choices(chunk), chunk):
        if "usage" in place:
            found = found.updated(read_usage(place["usage"]))
    return found


def _choices(chunk: JsonObject) -> list[dict[str, Any]]:
    choices = chunk.get("choices")
    return [choice for choice in choices if isinstance(choice, dict)] if isinstance(choices, list) else []


def choice_of(chunk: JsonObject) -> int | None:
    """The only choice in a chunk: what it says of usage is of that choice; None where it has none, or several."""
    choices = _choices(chunk)
    return (count(choices[0].get("index")) or 0) if len(choices) == 1 else None


def is_error(chunk: JsonObject) -> bool:
    """`{"object": "error", …}` is how vLLM and its kin said it before they took over OpenAI's shape."""
    return (
        bool(chunk.get("error")) or chunk.get("object") == "error" or bool(object_of(chunk.get("x_groq")).get("error"))
    )


def is_finish(chunk: JsonObject) -> bool:
    """TGI writes an empty reason on chunks that are not the last."""
    return any(choice.get("finish_reason") for choice in _choices(chunk))


def is_usage_only(chunk: JsonObject) -> bool:
    return isinstance(chunk.get("usage"), dict) and chunk.get("choices") == [] and not is_error(chunk)
