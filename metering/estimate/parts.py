"""What in a body is text, picture, sound or a file: one walk over the JSON, in which media are neither copied nor read.

Everything that is not known to be something else is text, the names of fields included: schemas, tools and the
arguments of calls are written out for the model.
"""

from collections.abc import Mapping
from typing import Any

import orjson
from msgspec import Struct, field

from metering.estimate import media
from metering.estimate.media import Media

# What the model does not read: control of the request itself. `options` are Ollama's.
NOT_READ = frozenset(
    [
        "model",
        "user",
        "metadata",
        "safety_identifier",
        "prompt_cache_key",
        "stream",
        "stream_options",
        "options",
        "stop",
        "logit_bias",
    ]
)
# Where a list of whole numbers is a list of tokens: exact, and no text. `context` is an earlier answer of Ollama's.
_MAY_BE_IDS = frozenset(("prompt", "input", "context"))
# Written out as JSON by the templates of open models, and in some way of its own by OpenAI's.
_SCHEMAS = frozenset(("tools", "functions", "response_format", "format", "guided_json", "structured_outputs"))
# State that the server keeps or fetches, and we cannot see; a template of its own may write anything.
ELSEWHERE = frozenset(("previous_response_id", "conversation", "web_search_options", "chat_template"))
# Names that a message's own frame stands for.
_FRAME = frozenset(("role", "content", "type", "text"))
_PLAIN = frozenset(("role", "content"))
# `"name": ` and a comma, where a template writes the rest as JSON; of a list's items quotes or brackets and a comma.
_NAME_TOKENS = 4
ITEM_TOKENS = 3
_MAX_TYPE_CHARS = 32
# More than any request that somebody means; what comes after is taken as the JSON that it is, not looked into.
MAX_VALUES = 100_000
# Deeper than JSON can be written, and more than MAX_VALUES: of no use to anybody.
_UNREADABLE_TOKENS = 10_000_000


class Parts(Struct):
    """`structure`: tokens of what stands around the texts: signs of JSON, numbers. `token_ids`: of prompts given as
    such, exact.

    `reads`: how many texts are read one by one (prompts, inputs of embeddings, documents to rank). `query`: read again
    with each of them.
    """

    texts: list[str] = field(default_factory=list)
    structure: int = 0
    token_ids: int = 0
    messages: int = 1
    reads: int = 1
    query: str = ""
    media: Media = field(default_factory=Media)


def parts_of(fields: Mapping[str, Any]) -> Parts:
    """The body of any of the gateway's routes, form fields included; depth is bounded by the JSON parser's limit."""
    found = Parts(messages=_messages(fields), reads=_reads(fields))
    if isinstance(query := fields.get("query"), str):
        found.query = query
    if not media.NAMES.isdisjoint(fields):
        fields = media.taken(fields, found.media)
    for name, value in fields.items():
        if name in NOT_READ:
            continue
        if name in ELSEWHERE:
            found.media.hidden += bool(value)
        elif name in _SCHEMAS:
            _take_schema(value, found)
        elif isinstance(value, str):
            found.texts.append(value)
        elif isinstance(value, dict | list):
            if name == "prompt" and isinstance(value, dict):  # a template kept by the server
                found.media.hidden += 1
            _walk(value, found, name in _MAY_BE_IDS)
    return found


def _messages(fields: Mapping[str, Any]) -> int:
    """Also of Responses, whose input is a list of items."""
    messages = fields.get("messages") or fields.get("input")
    return len(messages) if isinstance(messages, list) and messages and isinstance(messages[0], dict) else 1


def _reads(fields: Mapping[str, Any]) -> int:
    """A list of texts, or of lists of tokens, is read one by one; a list of messages or of tokens is not."""
    if isinstance(documents := fields.get("documents"), list) and "query" in fields:
        return max(1, len(documents))
    several = fields.get("prompt") or fields.get("input")
    if isinstance(several, list) and several and isinstance(several[0], str | list):
        return len(several)
    return 1


def _take_schema(value: Any, found: Parts) -> None:
    """As the JSON that it is. Tools that the server runs itself read what only it knows."""
    try:
        found.texts.append(orjson.dumps(value).decode())
    except orjson.JSONEncodeError:  # deeper than the writer goes, which the parser is not
        _walk(value, found, may_be_ids=False)
    if isinstance(value, list):
        found.media.hidden += sum(isinstance(tool, dict) and _runs_there(tool) for tool in value)


def _runs_there(tool: dict[str, Any]) -> bool:
    """OpenAI's and Anthropic's search, code and files; what the client runs is described by a schema."""
    kind = tool.get("type")
    return isinstance(kind, str) and kind not in ("function", "custom") and "input_schema" not in tool


def _walk(value: Any, found: Parts, may_be_ids: bool) -> None:
    left = [value]
    for _ in range(MAX_VALUES):
        if not left:
            return
        item = left.pop()
        if isinstance(item, str):
            found.texts.append(item)
        elif isinstance(item, dict):
            _open(item, left, found)
        elif not isinstance(item, list):
            found.structure += 1 if item is None or isinstance(item, bool) else len(str(item))
        elif may_be_ids and _are_ids(item):
            found.token_ids += len(item)
        else:
            found.structure += ITEM_TOKENS * len(item)
            left.extend(reversed(item))
    _take_unread(left, found)


def _take_unread(left: list[Any], found: Parts) -> None:
    try:
        found.texts.append(orjson.dumps(left).decode())
    except orjson.JSONEncodeError:
        found.structure += _UNREADABLE_TOKENS


def _open(item: Mapping[str, Any], left: list[Any], found: Parts) -> None:
    """What is left of it goes on the pile in its order."""
    if item.keys() == _PLAIN and type(item["role"]) is type(item["content"]) is str:  # as most messages are
        found.texts += item.values()
        return
    if not media.NAMES.isdisjoint(item):
        item = media.taken(item, found.media)
    kind = item.get("type")
    if kind == "item_reference":
        found.media.hidden += 1
    for name in reversed(list(item)):
        inner = item[name]
        if name == "type" and isinstance(inner, str) and len(inner) <= _MAX_TYPE_CHARS:
            continue
        left.append(inner)
        if name not in _FRAME:
            left.append(name)
            found.structure += _NAME_TOKENS


def _are_ids(items: list[Any]) -> bool:
    return bool(items) and type(items[0]) is int and all(type(item) is int for item in items)
