"""Audio in and out: transcriptions and translations in five shapes, two of them streamed never, and speech."""

import base64
from typing import Any

import orjson

from runtime.simulator.dialects import events
from runtime.simulator.dialects.answer import Answer
from runtime.simulator.dialects.asking import AUDIO_TOKENS_PER_SECOND
from runtime.simulator.dialects.choices import FAILURE, Json
from runtime.simulator.dialects.job import Job
from runtime.simulator.dialects.stream import Layout
from runtime.simulator.kinds import Kind

_TEXTS = {"text": b"text/plain; charset=utf-8", "srt": b"text/plain; charset=utf-8", "vtt": b"text/vtt; charset=utf-8"}
# Bytes of sound per token; any would do.
SOUND = bytes(range(0x80, 0xC0)) * 2


class Transcription(Answer):
    def __init__(self, job: Job) -> None:
        super().__init__(job)
        self.response_format = str(job.raw.get("response_format") or "json")
        self.content_type = None if job.streamed else _TEXTS.get(self.response_format)

    @property
    def text(self) -> str:
        return self.job.whole()[1].rstrip()

    def usage(self) -> Json:
        """By tokens, or by time where the model or the shape of the answer is of the older kind."""
        ordered = self.job.orders.details.usage_type
        by_time = self.response_format == "verbose_json" or self.job.kind is Kind.VLLM
        if not self.job.orders.usage or self.job.kind is Kind.GROQ:
            return {}
        if ordered == "duration" or (ordered is None and by_time):
            return {"usage": {"type": "duration", "seconds": self.job.orders.details.seconds}}
        return {"usage": self.tokens(self.job.completion_tokens)}

    def tokens(self, output: int) -> Json:
        total = self.job.prompt_tokens
        audio = min(total, self.job.orders.details.seconds * AUDIO_TOKENS_PER_SECOND)
        return {
            "type": "tokens",
            "input_tokens": total,
            "input_token_details": {"text_tokens": total - audio, "audio_tokens": audio},
            "output_tokens": output,
            "total_tokens": total + output,
        }

    def body(self) -> bytes:
        seconds = self.job.orders.details.seconds
        match self.response_format:
            case "text":
                return self.text.encode() + b"\n"
            case "srt":
                return f"1\n00:00:00,000 --> {_clock(seconds)},000\n{self.text}\n\n".encode()
            case "vtt":
                return f"WEBVTT\n\n00:00:00.000 --> {_clock(seconds)}.000\n{self.text}\n\n".encode()
            case "verbose_json":
                value: Json = {"task": self.task, "language": "english", "duration": float(seconds), "text": self.text}
                return orjson.dumps(value | {"segments": []} | self.usage())
            case _:
                return orjson.dumps({"text": self.text} | self.usage())

    @property
    def task(self) -> str:
        return "translate" if self.job.format.value == "translations" else "transcribe"

    def layout(self) -> Layout:
        job = self.job
        return Layout(
            tokens_after=job.tokens_after_words,
            words=job.pieces,
            word=self.word,
            usage=[events.named({"type": "transcript.text.done", "text": self.text, "logprobs": []} | self.usage())],
            error=_error,
        )

    def word(self, number: int) -> bytes:
        return events.named({"type": "transcript.text.delta", "delta": self.job.piece(number)[1]})


class Speech(Answer):
    """Sound as it is made, without usage; as events, with."""

    def __init__(self, job: Job) -> None:
        super().__init__(job)
        self.is_text = job.raw.get("stream_format") == "sse"
        self.content_type = b"text/event-stream; charset=utf-8" if self.is_text else b"audio/mpeg"

    def layout(self) -> Layout:
        job = self.job
        return Layout(
            tokens_after=job.tokens_after_words,
            words=job.pieces,
            word=self.word,
            usage=[events.named({"type": "speech.audio.done"} | self.usage())] if self.is_text else (),
            error=_error if self.is_text else lambda words: (),
        )

    def usage(self) -> dict[str, Any]:
        prompt, output = self.job.prompt_tokens, self.job.completion_tokens
        if not self.job.orders.usage:
            return {}
        return {"usage": {"input_tokens": prompt, "output_tokens": output, "total_tokens": prompt + output}}

    def word(self, number: int) -> bytes:
        if not self.is_text:
            return SOUND
        return events.named({"type": "speech.audio.delta", "audio": base64.b64encode(SOUND).decode()})


def _error(words: int) -> list[bytes]:
    said = {"code": "server_error", "message": FAILURE, "param": None}
    return [events.named({"type": "error", "error": said})]


def _clock(seconds: int) -> str:
    return f"{seconds // 3_600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
