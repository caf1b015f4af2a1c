"""Chat and completions as the providers people buy from write them."""

from collections.abc import Sequence
from typing import Any

import orjson

from runtime.simulator.dialects import events, usages
from runtime.simulator.dialects.choices import FAILURE, Chat, Choices, Completions, Json, Nulls, Reports
from runtime.simulator.dialects.job import Counts
from runtime.simulator.errors import error_body
from runtime.simulator.faults import Stage

_SAFE = {name: {"filtered": False, "severity": "safe"} for name in ("hate", "self_harm", "sexual", "violence")}


class Openai(Choices):
    pretty = True

    def usage(self, counts: Counts) -> Json:
        return usages.openai(counts)


class OpenaiChat(Openai, Chat):
    """Its chunks are padded with `obfuscation`, unless that is switched off."""

    def envelope(self, choices: list[Json], *, streamed: bool) -> Json:
        value = super().envelope([], streamed=streamed)
        del value["choices"]
        if not streamed:
            return value | {"choices": choices}
        return value | {"service_tier": "default", "system_fingerprint": None, "choices": choices}

    def delta(self, index: int, delta: Any, reason: str | None) -> Json:
        return {"index": index, "delta": delta, "logprobs": None, "finish_reason": reason}

    def opening_choice(self, index: int) -> Json | None:
        return self.delta(index, {"role": "assistant", "content": "", "refusal": None}, None)

    def trailing(self, stage: Stage, index: int, pieces: int) -> Json:
        options = self.job.raw.get("stream_options")
        if isinstance(options, dict) and options.get("include_obfuscation") is False:
            return {}
        return {"obfuscation": "kX3vQ9bT"[: 1 + (7 * pieces + index) % 8]}

    def whole_choice(self, index: int) -> Json:
        message = self.message() | {"refusal": None, "annotations": []}
        reason = self.job.finish_reason
        return {"index": index, "message": message, "logprobs": None, "finish_reason": reason}

    def trailing_whole(self) -> Json:
        return {"service_tier": "default", "system_fingerprint": None}


class OpenaiCompletions(Openai, Completions):
    pass


class Azure(Choices):
    """Names in alphabetical order; the first event judges the prompt and has no choices."""

    def usage(self, counts: Counts) -> Json:
        return usages.azure(counts)

    def prelude(self) -> Sequence[bytes]:
        judged = {"prompt_filter_results": self.judged()}
        return [events.data({"choices": [], "created": 0, "id": "", "model": "", "object": ""} | judged)]

    def judged(self) -> list[Json]:
        return [{"prompt_index": at, "content_filter_results": _SAFE} for at in range(len(self.job.prompts))]

    def envelope(self, choices: list[Json], *, streamed: bool) -> Json:
        value = super().envelope([], streamed=streamed)
        value |= {"choices": choices, "system_fingerprint": "fp_ee1d74bde0"}
        names = ("choices", "created", "id", "model", "object", "system_fingerprint")
        if streamed:
            return {name: value[name] for name in names}
        judged = {"prompt_filter_results": self.judged()}
        return {name: (value | judged)[name] for name in (*names[:5], "prompt_filter_results", names[5])}

    def finish(self, index: int, reason: str | None = None) -> bytes:
        """With the asynchronous filter a frame of its verdict, which has no delta, comes before."""
        finish = super().finish(index, reason)
        if not self.job.orders.details.async_filter:
            return finish
        offsets = {"check_offset": 0, "start_offset": 0, "end_offset": 5 * self.job.tokens}
        verdict = {"content_filter_offsets": offsets, "content_filter_results": _SAFE}
        choice = verdict | {"finish_reason": None, "index": index}
        frame = {"choices": [choice], "created": 0, "id": "", "model": "", "object": ""}
        return events.data(frame) + finish


class AzureChat(Azure, Chat):
    def delta(self, index: int, delta: Any, reason: str | None) -> Json:
        judged = _SAFE if delta.get("content") else {}
        choice = {"content_filter_results": judged, "delta": delta, "finish_reason": reason}
        return choice | {"index": index, "logprobs": None}

    def opening_choice(self, index: int) -> Json | None:
        return self.delta(index, {"content": "", "refusal": None, "role": "assistant"}, None)

    def whole_choice(self, index: int) -> Json:
        message: Json = {"annotations": [], "content": self.job.whole()[1], "refusal": None, "role": "assistant"}
        choice = {"content_filter_results": _SAFE, "finish_reason": self.job.finish_reason, "index": index}
        return choice | {"logprobs": None, "message": message}


class AzureCompletions(Azure, Completions):
    def choice(self, index: int, text: str, reason: str | None) -> Json:
        return {
            "content_filter_results": _SAFE,
            "finish_reason": reason,
            "index": index,
            "logprobs": None,
            "text": text,
        }


class MistralChat(Chat):
    """Usage on the chunk of the finish reason."""

    id_prefix = ""
    nulls = Nulls.NEVER
    reports = Reports.LAST_CHOICE

    def usage(self, counts: Counts) -> Json:
        return usages.total_second(counts)

    def finish_choice(self, index: int, reason: str) -> Json:
        return self.delta(index, {"content": ""}, reason)

    def whole_choice(self, index: int) -> Json:
        message = {"role": "assistant", "tool_calls": None, "content": self.job.whole()[1]}
        return {"index": index, "message": message, "finish_reason": self.job.finish_reason}

    def error(self, words: int) -> list[bytes]:
        error = {"object": "error", "message": FAILURE, "type": "internal_server_error", "param": None, "code": "3000"}
        return [events.data(error)]


class Deepseek(Choices):
    """Usage on the chunk of the finish reason; being asked for it adds nulls to the others."""

    reports = Reports.LAST_CHOICE
    fingerprint = "fp_ffc7281d48_prod0820_fp8_kvcache"

    def usage(self, counts: Counts) -> Json:
        return usages.deepseek(counts)


class DeepseekChat(Deepseek, Chat):
    id_prefix = ""

    def envelope(self, choices: list[Json], *, streamed: bool) -> Json:
        value = super().envelope([], streamed=streamed)
        if not streamed:
            return value | {"choices": choices}
        del value["choices"]
        return value | {"system_fingerprint": self.fingerprint, "choices": choices}

    def delta(self, index: int, delta: Any, reason: str | None) -> Json:
        return {"index": index, "delta": delta, "logprobs": None, "finish_reason": reason}

    def finish_choice(self, index: int, reason: str) -> Json:
        return self.delta(index, {"content": ""}, reason)

    def whole_choice(self, index: int) -> Json:
        reason = self.job.finish_reason
        return {"index": index, "message": self.message(), "logprobs": None, "finish_reason": reason}

    def trailing_whole(self) -> Json:
        return {"system_fingerprint": self.fingerprint}


class DeepseekCompletions(Deepseek, Completions):
    id_prefix = ""


class Openrouter(Choices):
    """The last message carries usage and price, always. An error ends the stream as a finish reason."""

    nulls = Nulls.NEVER
    reports = Reports.ALWAYS
    id_prefix = "gen-"

    def usage(self, counts: Counts) -> Json:
        return usages.openrouter(counts)

    def comment(self) -> bytes:
        return events.comment("OPENROUTER PROCESSING")

    def headers(self) -> bytes:
        return b"x-generation-id: gen-%b\r\n" % self.job.answer_id.encode()

    def envelope(self, choices: list[Json], *, streamed: bool) -> Json:
        value = super().envelope([], streamed=streamed)
        value |= {"provider": "Simulator", "choices": choices}
        return {name: value[name] for name in ("id", "provider", "model", "object", "created", "choices")}

    def error(self, words: int) -> list[bytes]:
        finish = self.envelope([self.finish_choice(0, "error")], streamed=True)
        return [events.data(finish | {"error": {"code": 502, "message": FAILURE}})]


class OpenrouterChat(Openrouter, Chat):
    reasoning_field = "reasoning"

    def delta(self, index: int, delta: Any, reason: str | None) -> Json:
        full = {"role": "assistant", "content": ""} | delta
        reasons = {"finish_reason": reason, "native_finish_reason": reason}
        return {"index": index, "delta": full} | reasons | {"logprobs": None}

    def opening_choice(self, index: int) -> Json | None:
        return None

    def whole_choice(self, index: int) -> Json:
        reason = self.job.finish_reason
        reasons = {"logprobs": None, "finish_reason": reason, "native_finish_reason": reason}
        return reasons | {"index": index, "message": self.message() | {"refusal": None}}


class OpenrouterCompletions(Openrouter, Completions):
    def choice(self, index: int, text: str, reason: str | None) -> Json:
        return super().choice(index, text, reason) | {"native_finish_reason": reason}


class GroqChat(Chat):
    """Reports in `x_groq` on the last finish reason, unasked; asked, on a chunk of its own as well."""

    reasoning_field = "reasoning"

    def usage(self, counts: Counts) -> Json:
        return usages.groq(counts)

    def envelope(self, choices: list[Json], *, streamed: bool) -> Json:
        value = super().envelope([], streamed=streamed)
        if not streamed:
            return value | {"choices": choices}
        del value["choices"]
        return value | {"system_fingerprint": "fp_3f3b593e33", "choices": choices}

    def delta(self, index: int, delta: Any, reason: str | None) -> Json:
        return {"index": index, "delta": delta, "logprobs": None, "finish_reason": reason}

    def whole_choice(self, index: int) -> Json:
        reason = self.job.finish_reason
        return {"index": index, "message": self.message(), "logprobs": None, "finish_reason": reason}

    def groq_id(self) -> Json:
        return {"id": f"req_{self.job.answer_id[:26]}"}

    def trailing(self, stage: Stage, index: int, pieces: int) -> Json:
        if stage is Stage.OPENING:
            return {"x_groq": self.groq_id()}
        if stage is Stage.FINISH and index == self.job.choices - 1 and self.job.orders.usage:
            return {"x_groq": self.groq_id() | {"usage": self.usage(self.job.counts())}}
        return {}

    def trailing_whole(self) -> Json:
        return {"system_fingerprint": "fp_3f3b593e33", "x_groq": self.groq_id()}

    def error(self, words: int) -> list[bytes]:
        chunk = self.envelope([self.delta(0, {}, None)], streamed=True)
        return [events.data(chunk | {"x_groq": self.groq_id() | {"error": FAILURE}}), events.DONE]


class AnthropicChat(Chat):
    """Anthropic's own imitation of OpenAI."""

    nulls = Nulls.NEVER

    def usage(self, counts: Counts) -> Json:
        return usages.plain(counts)

    def error(self, words: int) -> list[bytes]:
        said = orjson.loads(error_body(FAILURE, "overloaded_error"))
        return [events.data(said)]
