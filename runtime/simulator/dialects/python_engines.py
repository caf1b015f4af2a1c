"""Chat and completions as vLLM, SGLang and TensorRT-LLM write them."""

from typing import Any

from runtime.simulator.dialects import events, usages
from runtime.simulator.dialects.choices import FAILURE, Chat, Choices, Completions, Json, Nulls
from runtime.simulator.dialects.job import Counts
from runtime.simulator.faults import Stage


class Vllm(Choices):
    """Leaves out what is not set: no nulls. An error is followed by `[DONE]`, without usage."""

    nulls = Nulls.NEVER

    def usage(self, counts: Counts) -> Json:
        return usages.vllm(counts)

    def error(self, words: int) -> list[bytes]:
        error = {"message": FAILURE, "type": "InternalServerError", "param": None, "code": 500}
        return [events.data({"error": error}), events.DONE]


class VllmChat(Vllm, Chat):
    reasoning_field = "reasoning"

    def delta(self, index: int, delta: Any, reason: str | None) -> Json:
        return {"index": index, "delta": delta, "logprobs": None, "finish_reason": reason}

    def word_choice(self, index: int, reasoning: str, text: str) -> Json:
        return super().word_choice(index, reasoning, text) | {"token_ids": None}

    def finish_choice(self, index: int, reason: str) -> Json:
        return self.delta(index, {"content": ""}, reason) | {"stop_reason": None, "token_ids": None}

    def whole_choice(self, index: int) -> Json:
        reasoning, text = self.job.whole()
        message = {"role": "assistant", "content": text, "refusal": None, "annotations": None, "audio": None}
        return {
            "index": index,
            "message": message | {"function_call": None, "tool_calls": [], "reasoning": reasoning or None},
            "logprobs": None,
            "finish_reason": self.job.finish_reason,
            "stop_reason": None,
            "token_ids": None,
        }

    def whole_usage(self) -> Json:
        blank = {"service_tier": None, "system_fingerprint": None}
        usage = super().whole_usage()
        if usage["usage"] is not None:
            usage["usage"] = usage["usage"] | {"prompt_tokens_details": usage["usage"].get("prompt_tokens_details")}
        return blank | usage

    def trailing_whole(self) -> Json:
        return {"prompt_logprobs": None, "prompt_token_ids": None, "kv_transfer_params": None}


class VllmCompletions(Vllm, Completions):
    def choice(self, index: int, text: str, reason: str | None) -> Json:
        return super().choice(index, text, reason) | {"stop_reason": None}


class Sglang(Choices):
    """After an error come finish, usage if asked for, and `[DONE]`."""

    id_prefix = ""

    def usage(self, counts: Counts) -> Json:
        return usages.sglang(counts)

    def error(self, words: int) -> list[bytes]:
        said = {"object": "error", "message": FAILURE, "type": "InternalServerError", "param": None, "code": 500}
        finish = self.envelope([self.finish_choice(0, "abort")], streamed=True)
        frames = [events.data({"error": said}), events.data(finish)]
        if self.job.include_usage:
            usage = self.usage(self.job.counts_after_words(words))
            frames.append(events.data(self.envelope([], streamed=True) | {"usage": usage}))
        return [*frames, events.DONE]


class SglangChat(Sglang, Chat):
    nulls = Nulls.NEVER

    def delta(self, index: int, delta: Any, reason: str | None) -> Json:
        full = {"role": None, "content": None, "reasoning_content": None, "tool_calls": None} | delta
        stopped = 151645 if reason == "stop" else None
        return {"index": index, "delta": full, "logprobs": None, "finish_reason": reason, "matched_stop": stopped}

    def whole_choice(self, index: int) -> Json:
        reasoning, text = self.job.whole()
        message = {"role": "assistant", "content": text, "reasoning_content": reasoning or None, "tool_calls": None}
        reason = self.job.finish_reason
        stopped = 151645 if reason == "stop" else None
        return {"index": index, "message": message, "logprobs": None, "finish_reason": reason, "matched_stop": stopped}

    def trailing_whole(self) -> Json:
        return {"metadata": {"weight_version": "default"}}


class SglangCompletions(Sglang, Completions):
    nulls = Nulls.ALWAYS

    def choice(self, index: int, text: str, reason: str | None) -> Json:
        stopped = 151645 if reason == "stop" else None
        return super().choice(index, text, reason) | {"matched_stop": stopped}


class Trtllm(Choices):
    """TensorRT-LLM."""

    def usage(self, counts: Counts) -> Json:
        return usages.trtllm(counts)

    def error(self, words: int) -> list[bytes]:
        said = {"object": "error", "message": FAILURE, "type": "InternalServerError", "param": None, "code": 500}
        return [events.data(said), events.DONE]


class TrtllmChat(Trtllm, Chat):
    nulls = Nulls.NEVER

    def delta(self, index: int, delta: Any, reason: str | None) -> Json:
        return {"index": index, "delta": delta, "logprobs": None, "finish_reason": reason, "stop_reason": None}

    def event(self, stage: Stage, value: Json) -> bytes:
        """A blank stands behind the chunk of the role."""
        event = super().event(stage, value)
        return event.removesuffix(b"\n\n") + b" \n\n" if stage is Stage.OPENING else event


class TrtllmCompletions(Trtllm, Completions):
    nulls = Nulls.ALWAYS

    def choice(self, index: int, text: str, reason: str | None) -> Json:
        return super().choice(index, text, reason) | {"stop_reason": None}
