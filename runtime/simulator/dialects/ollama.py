"""Ollama's own formats: a line of JSON per piece; the last one counts, and leaves out what is zero."""

from typing import Any

import orjson

from runtime.simulator.dialects import events
from runtime.simulator.dialects.answer import Answer
from runtime.simulator.dialects.choices import FAILURE, Json
from runtime.simulator.dialects.job import Job
from runtime.simulator.dialects.stream import Layout
from runtime.simulator.kinds import Format

CREATED_AT = "2026-01-02T03:04:05.678901234Z"
NS_PER_TOKEN = 10_000_000
NDJSON = b"application/x-ndjson"


class Native(Answer):
    """`/api/chat` and `/api/generate`."""

    def __init__(self, job: Job) -> None:
        super().__init__(job)
        self.content_type = NDJSON if job.streamed else None

    def line(self, thinking: str, text: str, *, last: bool = False) -> Json:
        thought = {"thinking": thinking} if thinking else {}
        value: Json = {"model": self.job.model, "created_at": CREATED_AT}
        if self.job.format is Format.OLLAMA_CHAT:
            value["message"] = {"role": "assistant", "content": text} | thought
        else:
            value |= {"response": text} | thought
        return value | {"done": False} if not last else value | self.end()

    def end(self) -> Json:
        """What the last line says; Go leaves out what is zero."""
        counts = self.job.counts()
        context = {"context": [1, 2, 3]} if self.job.format is Format.OLLAMA_GENERATE else {}
        durations = {"total_duration": NS_PER_TOKEN * counts.total, "load_duration": NS_PER_TOKEN}
        used = {
            "prompt_eval_count": counts.prompt,
            "prompt_eval_duration": NS_PER_TOKEN * counts.prompt,
            "eval_count": counts.completion,
            "eval_duration": NS_PER_TOKEN * counts.completion,
        }
        told: dict[str, Any] = durations | (used if self.job.orders.usage else {})
        told = {name: value for name, value in told.items() if value}
        return {"done": True, "done_reason": self.job.finish_reason} | context | told

    def body(self) -> bytes:
        return orjson.dumps(self.line(*self.job.whole(), last=True))

    def layout(self) -> Layout:
        job = self.job
        return Layout(
            tokens_after=job.tokens_after_words,
            words=job.pieces,
            word=lambda number: events.line(self.line(*job.piece(number))),
            usage=[events.line(self.line("", "", last=True))],
            error=lambda words: [events.line({"error": FAILURE})],
        )


class Embed(Answer):
    """`/api/embed`."""

    def body(self) -> bytes:
        given = self.job.raw.get("input")
        count = len(given) if isinstance(given, list) else 1
        value: Json = {"model": self.job.model, "embeddings": [[0.25, -0.5, 0.125]] * count}
        value |= {"total_duration": NS_PER_TOKEN, "load_duration": NS_PER_TOKEN}
        prompt = self.job.counts().prompt
        return orjson.dumps(value | ({"prompt_eval_count": prompt} if prompt and self.job.orders.usage else {}))
