"""The kinds of LLM server it can pose as, and what sets each apart before a byte of the answer is written.

A kind answers on the routes its model has, and on no other; `generic` answers on all of them, in OpenAI's shape.
"""

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    GENERIC = "generic"
    VLLM = "vllm"
    SGLANG = "sglang"
    LLAMACPP = "llamacpp"
    OLLAMA = "ollama"
    TGI = "tgi"
    TRTLLM = "trtllm"
    OPENAI = "openai"
    AZURE = "azure"
    ANTHROPIC = "anthropic"
    MISTRAL = "mistral"
    DEEPSEEK = "deepseek"
    OPENROUTER = "openrouter"
    GROQ = "groq"


class Format(StrEnum):
    """What is asked for, as far as the bytes of the answer go."""

    CHAT = "chat"
    COMPLETIONS = "completions"
    EMBEDDINGS = "embeddings"
    RERANK = "rerank"
    RESPONSES = "responses"
    MESSAGES = "messages"
    TRANSCRIPTIONS = "transcriptions"
    TRANSLATIONS = "translations"
    SPEECH = "speech"
    IMAGES = "images"
    IMAGE_EDITS = "image_edits"
    OLLAMA_CHAT = "ollama_chat"
    OLLAMA_GENERATE = "ollama_generate"
    OLLAMA_EMBED = "ollama_embed"
    TOKENIZE = "tokenize"
    APPLY_TEMPLATE = "apply_template"
    CHAT_TOKENIZE = "chat_tokenize"
    COUNT_MESSAGES = "count_messages"
    COUNT_RESPONSES = "count_responses"


@dataclass(frozen=True, slots=True)
class Traits:
    """`limits`: which fields bound the output. `running`: `continuous_usage_stats` is understood. `generates_on`: a
    client that leaves does not stop it. `keep_alives`: how many signs of life come before an answer.
    """

    formats: frozenset[Format]
    limits: tuple[str, ...] = ("max_completion_tokens", "max_tokens")
    honours_n: bool = True
    running: bool = False
    generates_on: bool = False
    keep_alives: int = 0


_TEXT = frozenset((Format.CHAT, Format.COMPLETIONS))
_AUDIO = frozenset((Format.TRANSCRIPTIONS, Format.TRANSLATIONS))
_OLLAMA = frozenset((Format.OLLAMA_CHAT, Format.OLLAMA_GENERATE, Format.OLLAMA_EMBED))
_OPENAI = _TEXT | _AUDIO | {Format.EMBEDDINGS, Format.RESPONSES, Format.SPEECH, Format.IMAGES, Format.IMAGE_EDITS}
_OPENAI |= {Format.COUNT_RESPONSES}
_ENGINE = _TEXT | {Format.EMBEDDINGS, Format.RERANK, Format.RESPONSES, Format.TOKENIZE}

TRAITS: dict[Kind, Traits] = {
    Kind.GENERIC: Traits(frozenset(Format), running=True),
    Kind.VLLM: Traits(_ENGINE | _AUDIO | {Format.MESSAGES}, running=True),
    Kind.SGLANG: Traits(_ENGINE, running=True),
    Kind.LLAMACPP: Traits(_ENGINE | {Format.MESSAGES, Format.APPLY_TEMPLATE}),
    Kind.OLLAMA: Traits(
        _TEXT | _OLLAMA | {Format.EMBEDDINGS, Format.RESPONSES, Format.MESSAGES},
        limits=("max_tokens",),
        honours_n=False,
    ),
    Kind.TGI: Traits(_TEXT | {Format.TOKENIZE, Format.CHAT_TOKENIZE}, honours_n=False),
    Kind.TRTLLM: Traits(_TEXT | {Format.RESPONSES}, running=True),
    Kind.OPENAI: Traits(_OPENAI),
    Kind.AZURE: Traits(_OPENAI),
    Kind.ANTHROPIC: Traits(frozenset((Format.MESSAGES, Format.COUNT_MESSAGES, Format.CHAT))),
    Kind.MISTRAL: Traits(frozenset((Format.CHAT, Format.EMBEDDINGS, Format.TRANSCRIPTIONS)), generates_on=True),
    Kind.DEEPSEEK: Traits(_TEXT | {Format.MESSAGES}, keep_alives=2),
    Kind.OPENROUTER: Traits(_TEXT | {Format.EMBEDDINGS, Format.RESPONSES}, keep_alives=1),
    Kind.GROQ: Traits(_AUDIO | {Format.CHAT, Format.RESPONSES, Format.SPEECH}, generates_on=True),
}
