"""How each kind of server writes down what was used: the names, their order, what is left out."""

from typing import Any

from runtime.simulator.dialects.job import Counts


def plain(counts: Counts) -> dict[str, Any]:
    """Generic; Ollama and Text Generation Inference never say more."""
    return {
        "prompt_tokens": counts.prompt,
        "completion_tokens": counts.completion,
        "total_tokens": counts.total,
    }


def generic(counts: Counts) -> dict[str, Any]:
    """Plain, with OpenAI's details only where there is something to tell."""
    usage = plain(counts)
    prompt = {"cached_tokens": counts.cached, "cache_write_tokens": counts.cache_write, "audio_tokens": counts.audio}
    if told := {name: value for name, value in prompt.items() if value}:
        usage["prompt_tokens_details"] = told
    if counts.reasoning:
        usage["completion_tokens_details"] = {"reasoning_tokens": counts.reasoning}
    return usage


def openai(counts: Counts) -> dict[str, Any]:
    prompt = {"cached_tokens": counts.cached, "audio_tokens": counts.audio}
    if counts.cache_write:
        prompt["cache_write_tokens"] = counts.cache_write
    if counts.image:
        prompt["image_tokens"] = counts.image
    return plain(counts) | {
        "prompt_tokens_details": prompt,
        "completion_tokens_details": {
            "reasoning_tokens": counts.reasoning,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def azure(counts: Counts) -> dict[str, Any]:
    """OpenAI's, its names in alphabetical order."""
    return {
        "completion_tokens": counts.completion,
        "completion_tokens_details": {
            "accepted_prediction_tokens": 0,
            "audio_tokens": 0,
            "reasoning_tokens": counts.reasoning,
            "rejected_prediction_tokens": 0,
        },
        "prompt_tokens": counts.prompt,
        "prompt_tokens_details": {"audio_tokens": counts.audio, "cached_tokens": counts.cached},
        "total_tokens": counts.total,
    }


def total_second(counts: Counts) -> dict[str, Any]:
    """The order of the servers written in Python, and of Mistral."""
    return {
        "prompt_tokens": counts.prompt,
        "total_tokens": counts.total,
        "completion_tokens": counts.completion,
    }


def vllm(counts: Counts) -> dict[str, Any]:
    """Details only where the server was started to give them: here, where some were ordered."""
    details = {"prompt_tokens_details": {"cached_tokens": counts.cached}} if counts.cached else {}
    return total_second(counts) | details


def sglang(counts: Counts) -> dict[str, Any]:
    """Reasoning stands at the top; cached tokens only if there are any."""
    details = {"cached_tokens": counts.cached} if counts.cached else None
    return total_second(counts) | {"prompt_tokens_details": details, "reasoning_tokens": counts.reasoning}


def trtllm(counts: Counts) -> dict[str, Any]:
    return total_second(counts) | {"prompt_tokens_details": {"cached_tokens": counts.cached}}


def llamacpp(counts: Counts) -> dict[str, Any]:
    return {
        "completion_tokens": counts.completion,
        "prompt_tokens": counts.prompt,
        "total_tokens": counts.total,
        "prompt_tokens_details": {"cached_tokens": counts.cached},
    }


def timings(counts: Counts) -> dict[str, Any]:
    """llama.cpp's; `prompt_n` leaves out what was cached. Times are as if each token took 10 ms."""
    prompt, predicted = counts.prompt - counts.cached, counts.completion
    return {
        "cache_n": counts.cached,
        "prompt_n": prompt,
        "prompt_ms": 10.0 * prompt,
        "prompt_per_token_ms": 10.0,
        "prompt_per_second": 100.0,
        "predicted_n": predicted,
        "predicted_ms": 10.0 * predicted,
        "predicted_per_token_ms": 10.0,
        "predicted_per_second": 100.0,
    }


def deepseek(counts: Counts) -> dict[str, Any]:
    usage = plain(counts) | {"prompt_tokens_details": {"cached_tokens": counts.cached}}
    if counts.reasoning:
        usage["completion_tokens_details"] = {"reasoning_tokens": counts.reasoning}
    return usage | {
        "prompt_cache_hit_tokens": counts.cached,
        "prompt_cache_miss_tokens": counts.prompt - counts.cached,
    }


def openrouter(counts: Counts) -> dict[str, Any]:
    return plain(counts) | {
        "cost": 0.00014,
        "is_byok": False,
        "prompt_tokens_details": {
            "cached_tokens": counts.cached,
            "cache_write_tokens": counts.cache_write,
            "audio_tokens": counts.audio,
        },
        "cost_details": {"upstream_inference_cost": None},
        "completion_tokens_details": {"reasoning_tokens": counts.reasoning},
    }


def groq(counts: Counts) -> dict[str, Any]:
    usage: dict[str, Any] = {
        "queue_time": 0.01,
        "prompt_tokens": counts.prompt,
        "prompt_time": 0.001,
        "completion_tokens": counts.completion,
        "completion_time": 0.02,
        "total_tokens": counts.total,
        "total_time": 0.021,
    }
    if counts.cached:
        usage["prompt_tokens_details"] = {"cached_tokens": counts.cached}
    if counts.reasoning:
        usage["completion_tokens_details"] = {"reasoning_tokens": counts.reasoning}
    return usage


def responses(counts: Counts) -> dict[str, Any]:
    return {
        "input_tokens": counts.prompt,
        "input_tokens_details": {"cached_tokens": counts.cached}
        | ({"cache_write_tokens": counts.cache_write} if counts.cache_write else {}),
        "output_tokens": counts.completion,
        "output_tokens_details": {"reasoning_tokens": counts.reasoning},
        "total_tokens": counts.total,
    }


def anthropic_input(counts: Counts) -> dict[str, Any]:
    """What was cached is not in `input_tokens`."""
    return {
        "input_tokens": counts.prompt - counts.cached - counts.cache_write,
        "cache_creation_input_tokens": counts.cache_write,
        "cache_read_input_tokens": counts.cached,
    }
