"""OpenAI's Responses: numbered, named events; usage in the last, whichever way it went. No `[DONE]`."""

from typing import Any

import orjson

from runtime.simulator.dialects import events, usages
from runtime.simulator.dialects.answer import Answer
from runtime.simulator.dialects.choices import FAILURE, Json
from runtime.simulator.dialects.job import Job
from runtime.simulator.dialects.stream import Layout
from runtime.simulator.kinds import Kind

_REASONS = {"length": "max_output_tokens", "content_filter": "content_filter"}
_OPENING = 4  # events before the first word


class Responses(Answer):
    def __init__(self, job: Job) -> None:
        super().__init__(job)
        self.item_id = f"msg_{job.answer_id}"

    def body(self) -> bytes:
        pretty = self.job.kind is Kind.OPENAI
        data = orjson.dumps(self.ended(), option=orjson.OPT_INDENT_2 if pretty else None)
        return data + b"\n" if pretty else data

    @property
    def status(self) -> str:
        return "incomplete" if self.job.finish_reason in _REASONS else "completed"

    def response(self, status: str, output: list[Json], usage: Json | None, error: Json | None = None) -> Json:
        job = self.job
        reason = {"reason": _REASONS[job.finish_reason]} if status == "incomplete" else None
        return {
            "id": f"resp_{job.answer_id}",
            "object": "response",
            "created_at": job.created,
            "status": status,
            "error": error,
            "incomplete_details": reason,
            "model": job.model,
            "output": output,
            "parallel_tool_calls": True,
            "tool_choice": "auto",
            "tools": [],
            "usage": usage,
        }

    def ended(self) -> Json:
        usage = usages.responses(self.job.counts()) if self.job.orders.usage else None
        return self.response(self.status, [self.item(self.status, [self.part(self.text)])], usage)

    @property
    def text(self) -> str:
        return self.job.whole()[1]

    def part(self, text: str) -> Json:
        return {"type": "output_text", "annotations": [], "logprobs": [], "text": text}

    def item(self, status: str, content: list[Json]) -> Json:
        return {"id": self.item_id, "type": "message", "status": status, "content": content, "role": "assistant"}

    def event(self, name: str, number: int, **fields: Any) -> bytes:
        return events.named({"type": f"response.{name}", "sequence_number": number} | fields)

    def layout(self) -> Layout:
        job, at = self.job, {"output_index": 0, "content_index": 0}
        begun = self.response("in_progress", [], None)
        after = _OPENING + job.pieces
        item, part = self.item(self.status, [self.part(self.text)]), self.part(self.text)
        return Layout(
            tokens_after=job.tokens_after_words,
            words=job.pieces,
            word=self.word,
            opening=[
                self.event("created", 0, response=begun),
                self.event("in_progress", 1, response=begun),
                self.event("output_item.added", 2, output_index=0, item=self.item("in_progress", [])),
                self.event("content_part.added", 3, item_id=self.item_id, **at, part=self.part("")),
            ],
            finish=[
                self.event("output_text.done", after, item_id=self.item_id, **at, text=self.text, logprobs=[]),
                self.event("content_part.done", after + 1, item_id=self.item_id, **at, part=part),
                self.event("output_item.done", after + 2, output_index=0, item=item),
            ],
            usage=[self.event(self.status, after + 3, response=self.ended())],
            error=self.error,
            failed=self.failed,
        )

    def word(self, number: int) -> bytes:
        reasoning, text = self.job.piece(number)
        spoken = self.delta("reasoning_text", reasoning, number) if reasoning else b""
        return spoken + (self.delta("output_text", text, number) if text else b"")

    def delta(self, name: str, text: str, number: int) -> bytes:
        extra: Json = {"obfuscation": "kX3vQ9bT"[: 1 + number % 8]} if self.job.kind is Kind.OPENAI else {}
        at = {"item_id": self.item_id, "output_index": 0, "content_index": 0, "delta": text, "logprobs": []}
        return self.event(f"{name}.delta", _OPENING + number, **at, **extra)

    def error(self, words: int) -> list[bytes]:
        said = {"code": "server_error", "message": FAILURE, "param": None}
        return [events.named({"type": "error", "sequence_number": _OPENING + words} | said)]

    def failed(self, words: int) -> list[bytes]:
        error = {"code": "server_error", "message": FAILURE}
        return [self.event("failed", _OPENING + words, response=self.response("failed", [], None, error))]
