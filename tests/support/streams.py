"""Chat completion streams as servers send them, built twice: asked for usage, and not asked."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

# What a tap might take for something else: in content a quote is escaped, and these are only text.
_TRAPS = [
    '"usage":null',
    ',"usage":null}\n\n',
    '"usage":{"prompt_tokens":9}',
    "[DONE]",
    '"choices"',
    '\\"usage',
    "data: ",
]
_TEXTS = st.one_of(st.sampled_from(_TRAPS), st.text(st.characters(codec="utf-8"), max_size=12))


@dataclass(frozen=True, slots=True)
class Event:
    """`asked`: as sent when usage was asked for; `plain`: when it was not, empty where there was no such event."""

    asked: bytes
    plain: bytes
    usage: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Style:
    """How a server writes. `null_at`: where other chunks say `"usage": null` when asked; None: they do not."""

    line_end: bytes
    space: bytes
    indent: int | None
    is_compact: bool
    is_ascii: bool
    null_at: int | None
    ends_stream: bool

    def json(self, value: Any) -> str:
        separators = (",", ":") if self.is_compact else None
        return json.dumps(value, indent=self.indent, separators=separators, ensure_ascii=self.is_ascii)

    def event(self, data: str, *, fields: tuple[str, ...] = ()) -> bytes:
        lines = [line.encode() for line in fields]
        lines += [b"data:" + self.space + line.encode() for line in data.split("\n")]
        return b"".join(line + self.line_end for line in [*lines, b""])


def styles() -> st.SearchStrategy[Style]:
    return st.builds(
        Style,
        line_end=st.sampled_from([b"\n", b"\r\n", b"\r"]),
        space=st.sampled_from([b" ", b""]),
        indent=st.sampled_from([None, None, 1]),
        is_compact=st.booleans(),
        is_ascii=st.booleans(),
        null_at=st.sampled_from([None, 0, 2, 3, 99]),
        ends_stream=st.booleans(),
    )


def usages() -> st.SearchStrategy[dict[str, Any]]:
    """Usage objects of OpenAI's shape, any part missing or null."""
    count = st.one_of(st.none(), st.integers(0, 100_000))
    details = st.one_of(st.none(), st.fixed_dictionaries({}, optional={"cached_tokens": count}))
    outputs = st.one_of(st.none(), st.fixed_dictionaries({}, optional={"reasoning_tokens": count}))
    return st.fixed_dictionaries(
        {"prompt_tokens": count},
        optional={
            "completion_tokens": count,
            "total_tokens": count,
            "prompt_tokens_details": details,
            "completion_tokens_details": outputs,
        },
    )


@st.composite
def streams(draw: Callable[..., Any]) -> list[Event]:
    """A whole stream: chunks, comments, the usage chunk, `[DONE]`; the last blank line may be missing."""
    style: Style = draw(styles())
    events = []
    for text in draw(st.lists(_TEXTS, min_size=1, max_size=4)):
        if draw(st.booleans()):
            comment = b": keep-alive" + style.line_end * 2
            events.append(Event(comment, comment))
        events.append(_chunk(style, text, draw(st.sampled_from(["", "null", "object"])), draw(st.booleans())))
    usage = draw(usages())
    last = style.event(style.json({"id": "c", "object": "chat.completion.chunk", "choices": [], "usage": usage}))
    events.append(Event(last, b"", usage))
    done = style.event("[DONE]")
    if not style.ends_stream:
        done = done[: -len(style.line_end)]
    events.append(Event(done, done))
    return events


def _chunk(style: Style, text: str, nested: str, is_last: bool) -> Event:
    choice: dict[str, Any] = {"index": 0, "delta": {"content": text}, "finish_reason": "stop" if is_last else None}
    if nested:
        choice["delta"]["usage"] = None if nested == "null" else {"prompt_tokens": 77}
    chunk = {"id": "c", "object": "chat.completion.chunk", "choices": [choice], "model": "tiny"}
    plain = style.event(style.json(chunk))
    if style.null_at is None:
        return Event(plain, plain)
    items: list[tuple[str, Any]] = list(chunk.items())
    items.insert(style.null_at, ("usage", None))
    return Event(style.event(style.json(dict(items))), plain)


def cuts(total: int) -> st.SearchStrategy[list[int]]:
    """Where to cut `total` bytes, in order."""
    return st.lists(st.integers(0, total), max_size=12).map(sorted)


def cut(data: bytes, places: list[int]) -> list[bytes]:
    return [data[a:b] for a, b in zip([0, *places], [*places, len(data)], strict=True)]
