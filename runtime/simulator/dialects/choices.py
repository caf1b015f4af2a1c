"""Answers made of choices: chat and legacy completions, as far as the servers agree. A kind overrides the rest."""

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any

import orjson

from runtime.simulator.dialects import events, usages
from runtime.simulator.dialects.answer import Answer
from runtime.simulator.dialects.job import Counts
from runtime.simulator.dialects.stream import Layout
from runtime.simulator.errors import error_body
from runtime.simulator.faults import Stage

FAILURE = "the model failed, as it was told to"
Json = dict[str, Any]


class Nulls(Enum):
    """Whether chunks that carry no usage say `"usage":null`."""

    NEVER = "never"
    ASKED = "asked"  # if usage was asked for
    ALWAYS = "always"


class Reports(Enum):
    """Where a stream's usage stands."""

    ASKED = "asked"  # on one more chunk, without choices, if it was asked for
    ALWAYS = "always"  # on that chunk, asked for or not
    LAST_CHOICE = "last_choice"  # on the chunk of the last choice's finish reason, asked for or not
    OTHERWISE = "otherwise"  # the dialect itself writes it


class Choices(Answer):
    """One answer. Methods return JSON with its keys in the server's order."""

    nulls = Nulls.ASKED
    reports = Reports.ASKED
    pretty = False  # is an answer that is not streamed indented?

    # What the formats write.

    def envelope(self, choices: list[Json], *, streamed: bool) -> Json:
        raise NotImplementedError

    def opening_choice(self, index: int) -> Json | None:
        raise NotImplementedError

    def word_choice(self, index: int, reasoning: str, text: str) -> Json:
        raise NotImplementedError

    def finish_choice(self, index: int, reason: str) -> Json:
        raise NotImplementedError

    def whole_choice(self, index: int) -> Json:
        raise NotImplementedError

    # What the kinds write.

    def usage(self, counts: Counts) -> Json:
        return usages.generic(counts)

    def trailing(self, stage: Stage, index: int, pieces: int) -> Json:
        """Keys after usage."""
        return {}

    def prelude(self) -> Sequence[bytes]:
        """Events before the first chunk that has choices."""
        return ()

    def comment(self) -> bytes:
        """A sign of life."""
        return events.comment("keep-alive")

    def error(self, words: int) -> list[bytes]:
        return [b"data: %b\n\n" % error_body(FAILURE, "server_error", code="simulated")]

    # How they are put together.

    def usage_key(self, stage: Stage, index: int, pieces: int) -> Json:
        job = self.job
        if stage is Stage.USAGE or (stage is Stage.FINISH and self._is_on_last_choice(index)):
            return {"usage": self.usage(job.counts())}
        if job.running:
            return {"usage": self.usage(job.counts_of_choice(index, pieces))}
        if self.nulls is Nulls.ALWAYS or (self.nulls is Nulls.ASKED and job.include_usage):
            return {"usage": None}
        return {}

    def _is_on_last_choice(self, index: int) -> bool:
        job = self.job
        return self.reports is Reports.LAST_CHOICE and job.orders.usage and index == job.choices - 1

    def chunk(self, stage: Stage, choices: list[Json], index: int = 0, pieces: int = 0) -> bytes:
        value = self.envelope(choices, streamed=True)
        return self.event(stage, value | self.usage_key(stage, index, pieces) | self.trailing(stage, index, pieces))

    def event(self, stage: Stage, value: Json) -> bytes:
        return events.data(value)

    def word(self, number: int) -> bytes:
        piece, index = divmod(number, self.job.choices)
        return self.chunk(Stage.WORDS, [self.word_choice(index, *self.job.piece(piece))], index, piece + 1)

    def finish(self, index: int, reason: str | None = None) -> bytes:
        choice = self.finish_choice(index, reason or self.job.finish_reason)
        return self.chunk(Stage.FINISH, [choice], index, self.job.pieces)

    def usage_chunks(self) -> list[bytes]:
        asked = self.job.include_usage and self.reports is Reports.ASKED
        if asked or (self.reports is Reports.ALWAYS and self.job.orders.usage):
            return [self.chunk(Stage.USAGE, [])]
        return []

    def layout(self) -> Layout:
        job = self.job
        roles = [(index, self.opening_choice(index)) for index in range(job.choices)]
        opening = [self.chunk(Stage.OPENING, [role], index) for index, role in roles if role is not None]
        return Layout(
            tokens_after=job.tokens_after_words,
            words=job.pieces * job.choices,
            word=self.word,
            opening=[*self.comments(), *self.prelude(), *opening],
            finish=[self.finish(index) for index in range(job.choices)],
            usage=self.usage_chunks(),
            done=[events.DONE],
            error=self.error,
        )

    def comments(self) -> list[bytes]:
        return [self.comment()] * self.keep_alives

    @property
    def keep_alives(self) -> int:
        ordered = self.job.orders.details.keep_alives
        return self.job.traits.keep_alives if ordered is None else ordered

    def whole(self) -> Json:
        value = self.envelope([self.whole_choice(index) for index in range(self.job.choices)], streamed=False)
        return value | self.whole_usage() | self.trailing_whole()

    def whole_usage(self) -> Json:
        return {"usage": self.usage(self.job.counts()) if self.job.orders.usage else None}

    def trailing_whole(self) -> Json:
        return {}

    def body(self) -> bytes:
        """Of an answer that is not streamed; signs of life are blank lines there."""
        data = orjson.dumps(self.whole(), option=orjson.OPT_INDENT_2 if self.pretty else None)
        return b"\n" * self.keep_alives + data + (b"\n" if self.pretty else b"")


class Chat(Choices):
    """OpenAI's chat completions."""

    reasoning_field = "reasoning_content"
    id_prefix = "chatcmpl-"

    def envelope(self, choices: list[Json], *, streamed: bool) -> Json:
        return {
            "id": self.id_prefix + self.job.answer_id,
            "object": "chat.completion.chunk" if streamed else "chat.completion",
            "created": self.job.created,
            "model": self.job.model,
            "choices": choices,
        }

    def delta(self, index: int, delta: Mapping[str, Any], reason: str | None) -> Json:
        return {"index": index, "delta": delta, "finish_reason": reason}

    def opening_choice(self, index: int) -> Json | None:
        return self.delta(index, {"role": "assistant", "content": ""}, None)

    def spoken(self, reasoning: str, text: str) -> Json:
        delta = {self.reasoning_field: reasoning} if reasoning else {}
        return delta | ({"content": text} if text or not reasoning else {})

    def word_choice(self, index: int, reasoning: str, text: str) -> Json:
        return self.delta(index, self.spoken(reasoning, text), None)

    def finish_choice(self, index: int, reason: str) -> Json:
        return self.delta(index, {}, reason)

    def message(self) -> Json:
        reasoning, text = self.job.whole()
        said: Json = {"role": "assistant", "content": text}
        return said | ({self.reasoning_field: reasoning} if reasoning else {})

    def whole_choice(self, index: int) -> Json:
        return {
            "index": index,
            "message": self.message() | {"refusal": None},
            "logprobs": None,
            "finish_reason": self.job.finish_reason,
        }


class Completions(Choices):
    """OpenAI's legacy completions; streamed and not, they look the same."""

    id_prefix = "cmpl-"

    def envelope(self, choices: list[Json], *, streamed: bool) -> Json:
        return {
            "id": self.id_prefix + self.job.answer_id,
            "object": "text_completion",
            "created": self.job.created,
            "model": self.job.model,
            "choices": choices,
        }

    def choice(self, index: int, text: str, reason: str | None) -> Json:
        return {"index": index, "text": text, "logprobs": None, "finish_reason": reason}

    def opening_choice(self, index: int) -> Json | None:
        echoed = self.echoed(index)
        return self.choice(index, echoed, None) if echoed else None

    def word_choice(self, index: int, reasoning: str, text: str) -> Json:
        return self.choice(index, reasoning + text, None)

    def finish_choice(self, index: int, reason: str) -> Json:
        return self.choice(index, "", reason)

    def whole_choice(self, index: int) -> Json:
        return self.choice(index, self.echoed(index) + "".join(self.job.whole()), self.job.finish_reason)

    def echoed(self, index: int) -> str:
        """The prompt, where the answer is to begin with it; nothing for a prompt of token ids."""
        prompt = self.job.raw.get("prompt")
        if self.job.raw.get("echo") is not True:
            return ""
        if isinstance(prompt, list) and len(prompt) == len(self.job.prompts):
            prompt = prompt[index // self.job.n]
        return prompt + " " if isinstance(prompt, str) else ""
