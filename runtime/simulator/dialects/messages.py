"""Anthropic's Messages: named events, usage in the first and, cumulative, in the last but one.

Ollama and llama.cpp imitate it: Ollama's first event guesses the prompt and the last corrects it; llama.cpp's last
has the output only.
"""

import orjson

from runtime.simulator.dialects import events, usages
from runtime.simulator.dialects.answer import Answer
from runtime.simulator.dialects.choices import FAILURE, Json
from runtime.simulator.dialects.job import Counts
from runtime.simulator.dialects.stream import Layout
from runtime.simulator.kinds import Kind

STOP_REASONS = {"stop": "end_turn", "length": "max_tokens", "content_filter": "refusal", "tool_calls": "tool_use"}
# Ollama's first event estimates the prompt from the text's length: about so many bytes a token.
GUESSED_BYTES_PER_TOKEN = 4
# Anthropic fills its deltas up with blanks, so that nobody can tell tokens by their length.
_PADDING = (b"", b"  ", b"    ", b"      ")
# The generation has begun when the first event leaves.
_FIRST_OUTPUT = 1


class Messages(Answer):
    def headers(self) -> bytes:
        return b"request-id: req_%b\r\n" % self.job.answer_id[:24].encode()

    def body(self) -> bytes:
        job = self.job
        value = self.message(self.content(), STOP_REASONS[job.finish_reason])
        return orjson.dumps(value | ({"usage": self.whole_usage()} if job.orders.usage else {}))

    def content(self) -> list[Json]:
        thinking, text = self.job.whole()
        blocks: list[Json] = [{"type": "thinking", "thinking": thinking, "signature": ""}] if thinking else []
        return [*blocks, {"type": "text", "text": text}]

    def message(self, content: list[Json], stop_reason: str | None) -> Json:
        job = self.job
        who = {"id": f"msg_{job.answer_id[:24]}", "type": "message", "role": "assistant", "model": job.model}
        return who | {"content": content, "stop_reason": stop_reason, "stop_sequence": None}

    def whole_usage(self) -> Json:
        counts = self.job.counts()
        return self.start_usage(counts) | {"output_tokens": counts.completion}

    def start_usage(self, counts: Counts) -> Json:
        """Of `message_start`."""
        match self.job.kind:
            case Kind.OLLAMA:
                return {"input_tokens": counts.prompt, "output_tokens": 0}
            case Kind.LLAMACPP:
                read = {"cache_read_input_tokens": counts.cached, "input_tokens": counts.prompt - counts.cached}
                return read | {"output_tokens": 0}
            case Kind.VLLM:
                return {"input_tokens": counts.prompt, "output_tokens": 0}
            case _:
                usage = usages.anthropic_input(counts)
                writes = {"ephemeral_5m_input_tokens": counts.cache_write, "ephemeral_1h_input_tokens": 0}
                return usage | {"cache_creation": writes, "output_tokens": _FIRST_OUTPUT, "service_tier": "standard"}

    def delta_usage(self, counts: Counts) -> Json:
        """Of `message_delta`, all of it cumulative."""
        match self.job.kind:
            case Kind.LLAMACPP:
                return {"output_tokens": counts.completion}
            case Kind.OLLAMA | Kind.VLLM:
                return {"input_tokens": counts.prompt, "output_tokens": counts.completion}
            case _:
                return usages.anthropic_input(counts) | {"output_tokens": counts.completion}

    def start(self) -> bytes:
        counts = self.job.counts()
        if self.job.kind is Kind.OLLAMA:
            guess = len(orjson.dumps(self.job.raw.get("messages"))) // GUESSED_BYTES_PER_TOKEN
            counts = counts._replace(prompt=guess)
        usage = {"usage": self.start_usage(counts)} if self.job.orders.usage else {}
        return events.named({"type": "message_start", "message": self.message([], None) | usage})

    def layout(self) -> Layout:
        job = self.job
        imitated = job.kind in (Kind.OLLAMA, Kind.LLAMACPP, Kind.VLLM)
        ordered = job.orders.details.keep_alives
        pings = (0 if imitated else 1) if ordered is None else ordered
        return Layout(
            tokens_after=job.tokens_after_words,
            words=job.pieces,
            word=self.word,
            opening=[self.start(), self.block_start(0), *[events.named({"type": "ping"})] * pings],
            finish=[self.block_stop(self.text_block)],
            usage=self.deltas(),
            done=[events.named({"type": "message_stop"})],
            error=self.error,
        )

    @property
    def text_block(self) -> int:
        """Thinking has a block of its own before the text's."""
        thinking, text = self.job.whole()
        return 1 if thinking and text else 0

    def block_start(self, index: int) -> bytes:
        thinks = bool(self.job.whole()[0]) and index == 0
        block = {"type": "thinking", "thinking": "", "signature": ""} if thinks else {"type": "text", "text": ""}
        return events.named({"type": "content_block_start", "index": index, "content_block": block})

    def block_stop(self, index: int) -> bytes:
        return events.named({"type": "content_block_stop", "index": index})

    def word(self, number: int) -> bytes:
        thinking, text = self.job.piece(number)
        spoken = self.delta_event(0, {"type": "thinking_delta", "thinking": thinking}, number) if thinking else b""
        if not text:
            return spoken
        block = self.text_block
        if block and (thinking or not number or not self.job.piece(number - 1)[1]):
            spoken += self.block_stop(0) + self.block_start(1)
        return spoken + self.delta_event(block, {"type": "text_delta", "text": text}, number)

    def delta_event(self, index: int, delta: Json, number: int) -> bytes:
        event = events.named({"type": "content_block_delta", "index": index, "delta": delta})
        if self.job.kind is not Kind.ANTHROPIC:
            return event
        return event.removesuffix(b"}\n\n") + _PADDING[number % len(_PADDING)] + b"}\n\n"

    def deltas(self) -> list[bytes]:
        """The last one says why it stopped; those before it, if ordered, only how far it is."""
        job, steps = self.job, self.job.orders.details.message_deltas
        early = [self.delta(job.tokens * step // steps, None) for step in range(1, steps)]
        return [*early, self.delta(job.tokens, STOP_REASONS[job.finish_reason])]

    def delta(self, tokens: int, reason: str | None) -> bytes:
        value: Json = {"type": "message_delta", "delta": {"stop_reason": reason, "stop_sequence": None}}
        if self.job.orders.usage:
            value["usage"] = self.delta_usage(self.job.counts_of_prompt(0, tokens))
        return events.named(value)

    def error(self, words: int) -> list[bytes]:
        return [events.named({"type": "error", "error": {"type": "overloaded_error", "message": FAILURE}})]
