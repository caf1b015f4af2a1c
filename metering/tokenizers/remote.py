"""How a server is asked to count, by its own way of being asked; paths are relative to its host. Pure.

Sources: vLLM's and SGLang's OpenAI servers, llama.cpp's server README, TGI's router.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from metering.kinds import Tokenize
from metering.reading import count


@dataclass(frozen=True, slots=True)
class Question:
    """A POST, and how to read its answer: a count (`read`), or, where it `is_template`, a prompt (`about_template`)."""

    path: str
    body: bytes
    is_template: bool = False


def about_text(way: Tokenize, model: str, text: str) -> Question:
    """How many tokens has this text?"""
    match way:
        case Tokenize.VLLM:
            return _question("/tokenize", {"model": model, "prompt": text, "add_special_tokens": False})
        case Tokenize.SGLANG:
            return _question("/tokenize", {"model": model, "prompt": text, "add_special_tokens": False})
        case Tokenize.LLAMACPP:
            return _question("/tokenize", {"content": text, "add_special": False, "parse_special": False})
        case Tokenize.TGI:
            return _question("/tokenize", {"inputs": text, "add_special_tokens": False})


# What decides how a chat is written out.
_OF_CHAT = ("model", "messages", "tools", "chat_template_kwargs")


def about_messages(way: Tokenize, fields: Mapping[str, Any]) -> Question | None:
    """How many tokens has this chat, in the model's own template? None: this server is only asked about text."""
    if not isinstance(fields.get("messages"), list):
        return None
    chat = {name: fields[name] for name in _OF_CHAT if name in fields}
    try:
        match way:
            case Tokenize.VLLM:
                return _question("/tokenize", chat | {"add_generation_prompt": True})
            case Tokenize.LLAMACPP:
                return Question("/apply-template", orjson.dumps(chat), is_template=True)
            case Tokenize.TGI:
                return _question("/chat_tokenize", chat)
            case Tokenize.SGLANG:
                return None
    except orjson.JSONEncodeError:  # nested deeper than the writer goes, which the parser is not
        return None


def about_template(answer: bytes) -> Question | None:
    """llama.cpp's second question: its own template's text, in which control tokens are such. None: it gave none."""
    said = _json(answer)
    prompt = said.get("prompt") if isinstance(said, dict) else None
    if not isinstance(prompt, str):
        return None
    return _question("/tokenize", {"content": prompt, "add_special": True, "parse_special": True})


def read(answer: bytes) -> int | None:
    """A count, a list of tokens under `tokens` or `tokenize_response`, or the list itself."""
    said = _json(answer)
    if isinstance(said, dict):
        found = count(said.get("count"))
        tokens = said.get("tokens", said.get("tokenize_response"))
        return found if found is not None else len(tokens) if isinstance(tokens, list) else None
    return len(said) if isinstance(said, list) else None


def _json(answer: bytes) -> Any:
    try:
        return orjson.loads(answer)
    except orjson.JSONDecodeError:
        return None


def _question(path: str, fields: Mapping[str, Any]) -> Question:
    return Question(path, orjson.dumps(fields))


def joined(texts: Sequence[str]) -> str:
    """One text to ask about instead of many: a question for each would be a question too many."""
    return "\n".join(texts)
