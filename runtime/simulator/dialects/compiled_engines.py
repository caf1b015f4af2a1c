"""Chat and completions as llama.cpp, Text Generation Inference and Ollama write them."""

from typing import Any

from runtime.simulator.dialects import events, usages
from runtime.simulator.dialects.choices import FAILURE, Chat, Choices, Completions, Json, Nulls, Reports
from runtime.simulator.dialects.job import Counts
from runtime.simulator.faults import Stage


class Llamacpp(Choices):
    """Timings ride on the last chunk, on every one if asked for. An error ends the stream at once."""

    nulls = Nulls.NEVER

    def usage(self, counts: Counts) -> Json:
        return usages.llamacpp(counts)

    def comment(self) -> bytes:
        return b":\n\n"

    def envelope(self, choices: list[Json], *, streamed: bool) -> Json:
        value = super().envelope(choices, streamed=streamed)
        return {
            "choices": choices,
            "created": value["created"],
            **({"id": value["id"]} if streamed else {}),
            "model": value["model"],
            "system_fingerprint": "b6700-5d0a40f39",
            "object": value["object"],
        }

    def trailing(self, stage: Stage, index: int, pieces: int) -> Json:
        job = self.job
        last_chunk = Stage.USAGE if self.usage_chunks_follow() else Stage.FINISH
        if stage is last_chunk and (stage is Stage.USAGE or index == job.choices - 1):
            return {"timings": usages.timings(job.counts())}
        if stage is Stage.WORDS and job.raw.get("timings_per_token") is True:
            return {"timings": usages.timings(job.counts_of_choice(index, pieces))}
        return {}

    def usage_chunks_follow(self) -> bool:
        return self.job.include_usage and self.reports is Reports.ASKED

    def trailing_whole(self) -> Json:
        return {"id": self.envelope([], streamed=True)["id"], "timings": usages.timings(self.job.counts())}

    def error(self, words: int) -> list[bytes]:
        return [events.data({"error": {"code": 500, "message": FAILURE, "type": "server_error"}})]


class LlamacppChat(Llamacpp, Chat):
    def opening_choice(self, index: int) -> Json | None:
        return self.delta(index, {"role": "assistant", "content": None}, None)

    def delta(self, index: int, delta: Any, reason: str | None) -> Json:
        return {"finish_reason": reason, "index": index, "delta": delta}

    def whole_choice(self, index: int) -> Json:
        return {"finish_reason": self.job.finish_reason, "index": index, "message": self.message()}


class LlamacppCompletions(Llamacpp, Completions):
    """The chunk with the finish reason always carries usage; there is no other."""

    id_prefix = "chatcmpl-"
    reports = Reports.LAST_CHOICE

    def choice(self, index: int, text: str, reason: str | None) -> Json:
        return {"text": text, "index": index, "logprobs": None, "finish_reason": reason}


class Tgi(Choices):
    """Text Generation Inference. An error is followed by `[DONE]`."""

    nulls = Nulls.ALWAYS
    id_prefix = ""

    def usage(self, counts: Counts) -> Json:
        return usages.plain(counts)

    def envelope(self, choices: list[Json], *, streamed: bool) -> Json:
        value = super().envelope(choices, streamed=streamed)
        return {
            "object": value["object"],
            "id": "",
            "created": value["created"],
            "model": value["model"],
            "system_fingerprint": "3.3.6-native",
            "choices": choices,
        }

    def headers(self) -> bytes:
        """Only answers that are not streamed have them."""
        if self.job.streamed:
            return b""
        counts = self.job.counts()
        return (
            b"x-compute-type: cpu\r\nx-compute-time: 0.020\r\nx-compute-characters: %d\r\n"
            b"x-prompt-tokens: %d\r\nx-generated-tokens: %d\r\n"
        ) % (5 * counts.prompt, counts.prompt, counts.completion)

    def error(self, words: int) -> list[bytes]:
        return [events.data({"error": {"message": FAILURE, "http_status_code": 422}}), events.DONE]


class TgiChat(Tgi, Chat):
    def delta(self, index: int, delta: Any, reason: str | None) -> Json:
        return {
            "index": index,
            "delta": {"role": "assistant", "content": ""} | delta,
            "logprobs": None,
            "finish_reason": reason,
        }

    def opening_choice(self, index: int) -> Json | None:
        return None

    def whole_choice(self, index: int) -> Json:
        reason = self.job.finish_reason
        return {"index": index, "message": self.message(), "logprobs": None, "finish_reason": reason}


class TgiCompletions(Tgi, Completions):
    """The last chunk of each prompt carries that prompt's usage, asked for or not; before, finish reasons are empty."""

    nulls = Nulls.NEVER
    reports = Reports.OTHERWISE

    def choice(self, index: int, text: str, reason: str | None) -> Json:
        return super().choice(index, text, reason or "")

    def usage_key(self, stage: Stage, index: int, pieces: int) -> Json:
        if stage is not Stage.FINISH or not self.job.orders.usage:
            return {}
        return {"usage": self.usage(self.job.counts_of_prompt(index, self.job.tokens))}


class Ollama(Choices):
    """Ollama's OpenAI routes. An error is swallowed: an empty chunk, then nothing more."""

    nulls = Nulls.NEVER

    def usage(self, counts: Counts) -> Json:
        return usages.plain(counts)

    def short_id(self) -> int:
        return int(self.job.answer_id, 16) % 999

    def error(self, words: int) -> list[bytes]:
        return [self.chunk(Stage.WORDS, [self.word_choice(0, "", "")])]


class OllamaChat(Ollama, Chat):
    reasoning_field = "reasoning"

    def envelope(self, choices: list[Json], *, streamed: bool) -> Json:
        value = super().envelope([], streamed=streamed)
        value |= {"id": f"chatcmpl-{self.short_id()}", "system_fingerprint": "fp_ollama", "choices": choices}
        return {name: value[name] for name in ("id", "object", "created", "model", "system_fingerprint", "choices")}

    def opening_choice(self, index: int) -> Json | None:
        return None

    def delta(self, index: int, delta: Any, reason: str | None) -> Json:
        full = {"role": "assistant", "content": ""} | delta
        return {"index": index, "delta": full, "finish_reason": reason}

    def whole_choice(self, index: int) -> Json:
        return {"index": index, "message": self.message(), "finish_reason": self.job.finish_reason}


class OllamaCompletions(Ollama, Completions):
    """Where usage is asked for, it is all zeros on every chunk before the real one."""

    def envelope(self, choices: list[Json], *, streamed: bool) -> Json:
        return {
            "id": f"cmpl-{self.short_id()}",
            "object": "text_completion",
            "created": self.job.created,
            "choices": choices,
            "model": self.job.model,
            "system_fingerprint": "fp_ollama",
        }

    def choice(self, index: int, text: str, reason: str | None) -> Json:
        return {"text": text, "index": index, "finish_reason": reason}

    def usage_key(self, stage: Stage, index: int, pieces: int) -> Json:
        if stage is Stage.USAGE or not self.job.include_usage:
            return super().usage_key(stage, index, pieces)
        return {"usage": self.usage(Counts(0, 0))}
