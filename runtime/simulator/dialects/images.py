"""Images: GPT-image models report tokens, DALL·E ones nothing."""

import orjson

from runtime.simulator import fields
from runtime.simulator.dialects import events
from runtime.simulator.dialects.answer import Answer
from runtime.simulator.dialects.choices import FAILURE, Json
from runtime.simulator.dialects.job import Job
from runtime.simulator.dialects.stream import Layout
from runtime.simulator.kinds import Format, Kind

# A picture of one transparent point, the smallest there is.
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
MAX_PARTIAL_IMAGES = 3  # OpenAI's own limit


class Images(Answer):
    """The tokens ordered are those of one image."""

    def __init__(self, job: Job) -> None:
        super().__init__(job)
        self.reports = not job.model.startswith("dall-e")
        self.prefix = "image_generation" if job.format is Format.IMAGES else "image_edit"

    def settings(self) -> Json:
        given = self.job.raw
        names = {"background": "opaque", "output_format": "png", "quality": "high", "size": "1024x1024"}
        return {name: given.get(name) or default for name, default in names.items()}

    def usage(self) -> Json:
        counts = self.job.counts()
        if not self.reports or not self.job.orders.usage:
            return {}
        return {
            "usage": {
                "input_tokens": counts.prompt,
                "input_tokens_details": {"image_tokens": counts.image, "text_tokens": counts.prompt - counts.image},
                "output_tokens": counts.completion,
                "output_tokens_details": {"image_tokens": counts.completion, "text_tokens": 0},
                "total_tokens": counts.total,
            }
        }

    def body(self) -> bytes:
        if self.reports:
            images: list[Json] = [{"b64_json": PIXEL}] * self.job.n
            value = {"created": self.job.created} | self.settings() | {"data": images} | self.usage()
        else:
            images = [{"url": f"https://images.invalid/{self.job.answer_id}-{at}.png"} for at in range(self.job.n)]
            value = {"created": self.job.created, "data": images}
        pretty = self.job.kind is Kind.OPENAI
        return orjson.dumps(value, option=orjson.OPT_INDENT_2 if pretty else None) + (b"\n" if pretty else b"")

    def layout(self) -> Layout:
        """All tokens are used up once the last picture is there."""
        job = self.job
        partial = fields.whole(job.raw, "partial_images", 0, MAX_PARTIAL_IMAGES) or 0
        return Layout(
            tokens_after=lambda words: job.completion_tokens * words // partial if partial else job.completion_tokens,
            words=partial,
            word=self.partial,
            usage=[self.event("completed", self.usage())],
            error=self.error,
        )

    def event(self, name: str, extra: Json) -> bytes:
        picture = {"type": f"{self.prefix}.{name}", "b64_json": PIXEL, "created_at": self.job.created}
        return events.named(picture | self.settings() | extra)

    def partial(self, number: int) -> bytes:
        return self.event("partial_image", {"partial_image_index": number})

    def error(self, words: int) -> list[bytes]:
        said = {"type": "server_error", "code": "server_error", "message": FAILURE, "param": None}
        return [events.named({"type": "error", "error": said})]
