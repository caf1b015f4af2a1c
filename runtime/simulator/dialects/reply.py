"""A request to one of the dialects' routes -> what is answered, and who would have answered so."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs

from runtime.simulator import responses
from runtime.simulator.dialects import asking, compiled_engines, hosted, python_engines
from runtime.simulator.dialects.answer import Answer
from runtime.simulator.dialects.audio import Speech, Transcription
from runtime.simulator.dialects.choices import Chat, Completions
from runtime.simulator.dialects.embeddings import Embeddings, Rerank
from runtime.simulator.dialects.images import Images
from runtime.simulator.dialects.job import Job
from runtime.simulator.dialects.messages import Messages
from runtime.simulator.dialects.ollama import Embed, Native
from runtime.simulator.dialects.responses_api import Responses
from runtime.simulator.errors import Refused
from runtime.simulator.kinds import TRAITS, Format, Kind
from runtime.simulator.settings import SimulatorSettings

Maker = Callable[[Job], Answer]
_CHAT: dict[Kind, Maker] = {
    Kind.GENERIC: Chat,
    Kind.VLLM: python_engines.VllmChat,
    Kind.SGLANG: python_engines.SglangChat,
    Kind.TRTLLM: python_engines.TrtllmChat,
    Kind.LLAMACPP: compiled_engines.LlamacppChat,
    Kind.OLLAMA: compiled_engines.OllamaChat,
    Kind.TGI: compiled_engines.TgiChat,
    Kind.OPENAI: hosted.OpenaiChat,
    Kind.AZURE: hosted.AzureChat,
    Kind.ANTHROPIC: hosted.AnthropicChat,
    Kind.MISTRAL: hosted.MistralChat,
    Kind.DEEPSEEK: hosted.DeepseekChat,
    Kind.OPENROUTER: hosted.OpenrouterChat,
    Kind.GROQ: hosted.GroqChat,
}
_COMPLETIONS: dict[Kind, Maker] = {
    Kind.GENERIC: Completions,
    Kind.VLLM: python_engines.VllmCompletions,
    Kind.SGLANG: python_engines.SglangCompletions,
    Kind.TRTLLM: python_engines.TrtllmCompletions,
    Kind.LLAMACPP: compiled_engines.LlamacppCompletions,
    Kind.OLLAMA: compiled_engines.OllamaCompletions,
    Kind.TGI: compiled_engines.TgiCompletions,
    Kind.OPENAI: hosted.OpenaiCompletions,
    Kind.AZURE: hosted.AzureCompletions,
    Kind.DEEPSEEK: hosted.DeepseekCompletions,
    Kind.OPENROUTER: hosted.OpenrouterCompletions,
}
_OTHERS: dict[Format, Maker] = {
    Format.EMBEDDINGS: Embeddings,
    Format.RERANK: Rerank,
    Format.RESPONSES: Responses,
    Format.MESSAGES: Messages,
    Format.TRANSCRIPTIONS: Transcription,
    Format.TRANSLATIONS: Transcription,
    Format.SPEECH: Speech,
    Format.IMAGES: Images,
    Format.IMAGE_EDITS: Images,
    Format.OLLAMA_CHAT: Native,
    Format.OLLAMA_GENERATE: Native,
    Format.OLLAMA_EMBED: Embed,
}
_PATHS = {
    "/v1/chat/completions": Format.CHAT,
    "/v1/completions": Format.COMPLETIONS,
    "/v1/embeddings": Format.EMBEDDINGS,
    "/v1/rerank": Format.RERANK,
    "/v2/rerank": Format.RERANK,
    "/rerank": Format.RERANK,
    "/v1/responses": Format.RESPONSES,
    "/v1/responses/input_tokens": Format.COUNT_RESPONSES,
    "/v1/messages": Format.MESSAGES,
    "/v1/messages/count_tokens": Format.COUNT_MESSAGES,
    "/v1/audio/transcriptions": Format.TRANSCRIPTIONS,
    "/v1/audio/translations": Format.TRANSLATIONS,
    "/v1/audio/speech": Format.SPEECH,
    "/v1/images/generations": Format.IMAGES,
    "/v1/images/edits": Format.IMAGE_EDITS,
    "/v1/images/variations": Format.IMAGE_EDITS,
    "/api/chat": Format.OLLAMA_CHAT,
    "/api/generate": Format.OLLAMA_GENERATE,
    "/api/embed": Format.OLLAMA_EMBED,
    "/tokenize": Format.TOKENIZE,
    "/v1/tokenize": Format.TOKENIZE,
    "/apply-template": Format.APPLY_TEMPLATE,
    "/chat_tokenize": Format.CHAT_TOKENIZE,
}


@dataclass(frozen=True, slots=True)
class Place:
    """Where a request goes. `kind` None: the path does not say."""

    format: Format
    kind: Kind | None
    api_version: str | None


def locate(target: bytes) -> Place | None:
    """The place behind a request's target. `/kinds/<kind>` may stand before any path, `/openai` (Azure), that with
    `/deployments/<name>` for `/v1`, and `/api` (OpenRouter) before those under `/v1`.
    """
    path, _, query = target.decode("latin-1").partition("?")
    kind: Kind | None = None
    if path.startswith("/kinds/"):
        name, slash, rest = path.removeprefix("/kinds/").partition("/")
        if name not in Kind.__members__.values():
            return None
        kind, path = Kind(name), slash + rest
    if path.startswith("/openai/deployments/"):
        path = "/v1/" + path.removeprefix("/openai/deployments/").partition("/")[2]
    for prefix in ("/openai/v1/", "/api/v1/"):
        if path.startswith(prefix):
            path = "/v1/" + path.removeprefix(prefix)
    format_ = _PATHS.get(path)
    if format_ is None:
        return None
    return Place(format_, kind, parse_qs(query).get("api-version", [None])[0])


def kind_of(place: Place, raw: Mapping[str, Any], settings: SimulatorSettings) -> Kind:
    """What the request orders, else what its path says, else the server's own."""
    simulate = raw.get("simulate")
    ordered = simulate.get("kind") if isinstance(simulate, dict) else None
    if isinstance(ordered, str) and ordered in Kind.__members__.values():
        return Kind(ordered)
    return place.kind or settings.kind


@dataclass(frozen=True, slots=True)
class Reply:
    job: Job
    answer: Answer

    @property
    def content_type(self) -> bytes:
        return self.answer.content_type or (responses.EVENT_STREAM if self.job.streamed else responses.JSON)

    def counted(self) -> dict[str, Any]:
        """What the books keep besides the tokens in and out."""
        job, counts = self.job, self.job.counts()
        more = {
            "kind": job.kind.value,
            "format": job.format.value,
            "cached_tokens": counts.cached,
            "cache_write_tokens": counts.cache_write,
            "reasoning_tokens": counts.reasoning,
            "audio_tokens": counts.audio,
            "image_tokens": counts.image,
        }
        match job.format:
            case Format.TRANSCRIPTIONS | Format.TRANSLATIONS:
                seconds = job.orders.details.seconds
                audio = min(job.prompt_tokens, seconds * asking.AUDIO_TOKENS_PER_SECOND)
                return more | {"seconds": seconds, "audio_tokens": audio}
            case Format.SPEECH:
                return more | {"characters": len(str(job.raw.get("input") or ""))}
            case Format.IMAGES | Format.IMAGE_EDITS:
                return more | {"images": job.n}
            case _:
                return more


def check_served(kind: Kind, format_: Format) -> None:
    """Raises Refused (404) where a server of this kind has no such route."""
    if format_ not in TRAITS[kind].formats:
        raise Refused(404, f"A server of the kind '{kind}' has no such route.", code="not_found")


def reply_to(
    kind: Kind, place: Place, raw: Mapping[str, Any], settings: SimulatorSettings, answer_id: str, created: int
) -> Reply:
    """The reply to a parsed request; raises Refused, not yet in the kind's shape."""
    job = asking.read_job(
        kind, place.format, raw, settings, api_version=place.api_version, answer_id=answer_id, created=created
    )
    match place.format:
        case Format.CHAT:
            return Reply(job, _CHAT[kind](job))
        case Format.COMPLETIONS:
            return Reply(job, _COMPLETIONS[kind](job))
        case _:
            return Reply(job, _OTHERS[place.format](job))
