"""What every dialect makes of a job."""

from runtime.simulator.dialects.job import Job
from runtime.simulator.dialects.stream import Layout


class Answer:
    """`layout` is asked of a streamed answer, `body` of any other. `content_type` None: JSON, or server-sent events."""

    content_type: bytes | None = None
    is_text = True

    def __init__(self, job: Job) -> None:
        self.job = job

    def headers(self) -> bytes:
        """Whole lines besides what HTTP needs."""
        return b""

    def body(self) -> bytes:
        raise NotImplementedError("this is always streamed")

    def layout(self) -> Layout:
        raise NotImplementedError("this is never streamed")
