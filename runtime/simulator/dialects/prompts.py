"""How many tokens a request's input has, by the simulator's own count: a token is a word between white space."""

from collections.abc import Mapping
from typing import Any

from runtime.simulator.errors import invalid
from runtime.simulator.kinds import Format
from runtime.simulator.plan import TOKENS_PER_MESSAGE, count_messages

# A request with more prompts is refused, as OpenAI does it.
MAX_PROMPTS = 2_048


def count_prompts(format_: Format, raw: Mapping[str, Any]) -> tuple[int, ...]:
    """The tokens of each prompt; one entry for all but lists of prompts. Raises Refused (400)."""
    match format_:
        case Format.CHAT | Format.OLLAMA_CHAT:
            return (count_messages(raw.get("messages")),)
        case Format.MESSAGES | Format.COUNT_MESSAGES:
            return (count_text(raw.get("system")) + count_messages(raw.get("messages")),)
        case Format.COMPLETIONS:
            return _count_list("prompt", raw.get("prompt"))
        case Format.RESPONSES | Format.COUNT_RESPONSES:
            return (count_text(raw.get("instructions")) + _count_items(raw.get("input")),)
        case Format.EMBEDDINGS | Format.OLLAMA_EMBED:
            return (sum(_count_list("input", raw.get("input"))),)
        case Format.RERANK:
            return (_count_rerank(raw),)
        case Format.OLLAMA_GENERATE | Format.IMAGES | Format.IMAGE_EDITS | Format.TRANSCRIPTIONS | Format.TRANSLATIONS:
            return (count_text(raw.get("system")) + count_text(raw.get("prompt")),)
        case _:
            return (count_text(raw.get("input")),)


def count_text(value: object) -> int:
    """The words of a text, or of the texts in a list of parts; nothing has none."""
    if isinstance(value, str):
        return len(value.split())
    if isinstance(value, Mapping):
        return count_text(value.get("text"))
    return sum(map(count_text, value)) if isinstance(value, list) else 0


def _count_list(name: str, value: object) -> tuple[int, ...]:
    """A text, a list of token ids, or a list of either."""
    if isinstance(value, str):
        return (count_text(value),)
    if not isinstance(value, list) or not value:
        raise invalid(f"'{name}' must be a text or a list with at least one", name)
    if all(type(token) is int for token in value):
        return (len(value),)
    if len(value) > MAX_PROMPTS:
        raise invalid(f"'{name}' has more than {MAX_PROMPTS} entries", name)
    return tuple(len(one) if isinstance(one, list) else count_text(one) for one in value)


def _count_items(value: object) -> int:
    if isinstance(value, str):
        return TOKENS_PER_MESSAGE + count_text(value)
    if not isinstance(value, list) or not value:
        raise invalid("'input' must be a text or a list with at least one item", "input")
    return sum(TOKENS_PER_MESSAGE + count_text(item.get("content")) for item in value if isinstance(item, dict))


def _count_rerank(raw: Mapping[str, Any]) -> int:
    """Each document is read together with the query."""
    documents = raw.get("documents")
    if not isinstance(documents, list) or not documents:
        raise invalid("'documents' must be a list with at least one document", "documents")
    query = count_text(raw.get("query"))
    return sum(query + count_text(document) for document in documents)
