"""The gateway's routes: which wire format stands behind each, and how its requests are written."""

from dataclasses import dataclass, field

from metering.formats import audio, chat, completions, embeddings, images, messages, ollama, rerank, responses
from metering.formats.format import WireFormat


@dataclass(frozen=True, slots=True)
class Endpoint:
    """`path` is what follows the base, `/v1`, or, where it `is_rooted`, `/api` of Ollama's own. `is_form`:
    multipart/form-data may come. `name`: the route by which it is known, in allow-lists and on usage rows.
    `upstream_path`: after the upstream's base address, or after its host.
    """

    path: str
    wire: WireFormat
    is_form: bool = False
    is_rooted: bool = False
    name: str = field(init=False)
    upstream_path: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", f"{'/api' if self.is_rooted else '/v1'}{self.path}")
        object.__setattr__(self, "upstream_path", f"/api{self.path}" if self.is_rooted else self.path)


OPENAI = (
    Endpoint("/chat/completions", chat.FORMAT),
    Endpoint("/completions", completions.FORMAT),
    Endpoint("/embeddings", embeddings.FORMAT),
    Endpoint("/responses", responses.FORMAT),
    Endpoint("/messages", messages.FORMAT),
    Endpoint("/rerank", rerank.FORMAT),
    Endpoint("/audio/transcriptions", audio.TRANSCRIPTION, is_form=True),
    Endpoint("/audio/translations", audio.TRANSCRIPTION, is_form=True),
    Endpoint("/audio/speech", audio.SPEECH),
    Endpoint("/images/generations", images.FORMAT),
    Endpoint("/images/edits", images.FORMAT, is_form=True),
    Endpoint("/images/variations", images.FORMAT, is_form=True),
)
OLLAMA = (
    Endpoint("/chat", ollama.GENERATION, is_rooted=True),
    Endpoint("/generate", ollama.GENERATION, is_rooted=True),
    Endpoint("/embed", ollama.EMBEDDING, is_rooted=True),
)
