"""Routes that count tokens without generating any; their counts are those of the simulator's own usage."""

from collections.abc import Mapping
from typing import Any

from runtime.simulator.dialects.prompts import count_prompts, count_text
from runtime.simulator.errors import invalid
from runtime.simulator.kinds import Format, Kind

MAX_MODEL_LEN = 131_072
COUNTING = frozenset(
    (
        Format.TOKENIZE,
        Format.APPLY_TEMPLATE,
        Format.CHAT_TOKENIZE,
        Format.COUNT_MESSAGES,
        Format.COUNT_RESPONSES,
    )
)


def count(kind: Kind, format_: Format, raw: Mapping[str, Any]) -> Any:
    """The JSON answer; raises Refused (400)."""
    match format_:
        case Format.COUNT_MESSAGES:
            return {"input_tokens": sum(count_prompts(format_, raw))}
        case Format.COUNT_RESPONSES:
            return {"object": "response.input_tokens", "input_tokens": sum(count_prompts(format_, raw))}
        case Format.APPLY_TEMPLATE:
            count_prompts(Format.CHAT, raw)  # for its checks
            return {"prompt": templated(raw)}
        case Format.CHAT_TOKENIZE:
            count_prompts(Format.CHAT, raw)
            text = templated(raw)
            return {"tokenize_response": _tgi_tokens(text), "templated_text": text}
        case _:
            return _tokenize(kind, raw)


def _tokenize(kind: Kind, raw: Mapping[str, Any]) -> Any:
    """`generic` takes the field that is there for its server's."""
    if kind is Kind.TGI or (kind is Kind.GENERIC and "inputs" in raw):
        return _tgi_tokens(_text(raw, "inputs"))
    if kind is Kind.LLAMACPP or (kind is Kind.GENERIC and "content" in raw):
        return {"tokens": _ids(count_text(_text(raw, "content")))}
    if kind is not Kind.SGLANG and "messages" in raw:
        tokens = _ids(sum(count_prompts(Format.CHAT, raw)))
        return {"count": len(tokens), "max_model_len": MAX_MODEL_LEN, "tokens": tokens, "token_strs": None}
    if kind is not Kind.SGLANG:
        tokens = _ids(count_text(_text(raw, "prompt")))
        return {"count": len(tokens), "max_model_len": MAX_MODEL_LEN, "tokens": tokens, "token_strs": None}
    return _sglang(raw.get("prompt"))


def _sglang(prompt: object) -> Any:
    if isinstance(prompt, list) and all(isinstance(one, str) for one in prompt):
        each = [_ids(count_text(one)) for one in prompt]
        return {"tokens": each, "count": [len(one) for one in each], "max_model_len": MAX_MODEL_LEN}
    tokens = _ids(count_text(_text({"prompt": prompt}, "prompt")))
    return {"tokens": tokens, "count": len(tokens), "max_model_len": MAX_MODEL_LEN}


def _text(raw: Mapping[str, Any], name: str) -> str:
    value = raw.get(name)
    if not isinstance(value, str):
        raise invalid(f"'{name}' must be a text", name)
    return value


def _ids(count_: int) -> list[int]:
    return list(range(100, 100 + count_))


def _tgi_tokens(text: str) -> list[dict[str, Any]]:
    tokens, at = [], 0
    for number, word in enumerate(text.split()):
        start = text.index(word, at)
        at = start + len(word)
        tokens.append({"id": 100 + number, "text": word, "start": start, "stop": at})
    return tokens


def templated(raw: Mapping[str, Any]) -> str:
    """Four words per message besides its own: as many as its tokens."""
    return "\n".join(
        f"<|start|> {message.get('role') or 'user'} <|message|> {_content(message.get('content'))} <|end|>"
        for message in raw["messages"]
    )


def _content(content: object) -> str:
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    texts = [part.get("text") for part in parts if isinstance(part, dict)]
    return " ".join(text for text in texts if isinstance(text, str))
