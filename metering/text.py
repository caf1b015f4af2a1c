"""What an answer said, kept for the case that nobody reports how much it was.

Events are kept as they came and read some dozens at a time: an ordinary chunk costs an append and its share of one
search. Text is bounded; beyond the bound only its length is known.
"""

import json
import re
from dataclasses import dataclass, field
from functools import cache

import orjson

from metering.formats.format import WireFormat
from metering.framing import Framing

# About sixty chunks of OpenAI's; so much of a stream is in memory beside its text.
FOLD_BYTES = 16 << 10
# 250,000 tokens of English: more than any model writes.
MAX_TEXT_CHARS = 1 << 20
# A text in several parts (Mistral), or log-probabilities, whose tokens repeat the text: read as JSON.
_NOT_PLAIN = (b'"content":[', b'"content": [')


@dataclass(slots=True)
class Texts:
    """The parallel texts of an answer (choices, their reasoning, their tool calls), each by a name of its own.

    `pieces_said`: how many pieces with something in them came. No server sends less than a token at a time.
    """

    pieces: dict[str, list[str]] = field(default_factory=dict)
    pieces_said: int = 0
    kept_chars: int = 0
    dropped_bytes: int = 0

    def add(self, wire: WireFormat, data: bytes) -> None:
        """One event's JSON; what is none holds no text."""
        try:
            event = orjson.loads(data)
        except orjson.JSONDecodeError:
            return
        if isinstance(event, dict):
            for where, text in wire.texts(event):
                self.keep(where, text, 1 if text else 0)

    def keep(self, where: str, text: str, pieces: int) -> None:
        """`text` is of so many pieces."""
        self.pieces_said += pieces
        if self.kept_chars + len(text) > MAX_TEXT_CHARS:
            self.dropped_bytes += len(text.encode("utf-8", "replace"))
            return
        self.kept_chars += len(text)
        if text:
            self.pieces.setdefault(where, []).append(text)

    def whole(self) -> list[str]:
        return ["".join(pieces) for pieces in self.pieces.values()]


@dataclass(slots=True)
class TextKeeper:
    """The texts of a stream. `is_single`: there is one answer in it, so whose a text is need not be asked."""

    wire: WireFormat
    framing: Framing
    is_single: bool = False
    texts: Texts = field(default_factory=Texts)
    _raw: list[bytes] = field(default_factory=list)
    _size: int = 0

    def feed(self, data: bytes) -> None:
        self._raw.append(data)
        self._size += len(data)
        if self._size > FOLD_BYTES:
            self._fold()

    def finish(self) -> Texts:
        """All that was said, of an event nobody closed too."""
        self._fold()
        rest = b"".join(self._raw)
        self._raw, self._size = [], 0
        self.texts.add(self.wire, self.framing.data_of(rest))
        return self.texts

    def _fold(self) -> None:
        joined = b"".join(self._raw)
        events, rest = self.framing.split(joined)
        whole = joined[: len(joined) - len(rest)]
        if self.is_single and self.wire.text_fields and not any(mark in whole for mark in _NOT_PLAIN):
            self._read_plainly(whole)
        else:
            for event in events:
                self.texts.add(self.wire, self.framing.data_of(event))
        if len(rest) > FOLD_BYTES:  # an event of this size is media, or nothing we know
            self.texts.dropped_bytes += len(rest)
            rest = b""
        self._raw, self._size = [rest], len(rest)

    def _read_plainly(self, events: bytes) -> None:
        """The values of the fields that are text, by one search: a tenth of what parsing costs."""
        found = [text for text in _pattern(self.wire.text_fields).findall(events) if text]
        if found:
            self.texts.keep("", _unescaped(b"".join(found)), len(found))


@cache
def _pattern(names: tuple[str, ...]) -> re.Pattern[bytes]:
    """A quote inside a JSON string is escaped, so a name in quotes and a colon stand outside of one."""
    return re.compile(rb'"(?:%b)"\s*+:\s*+"((?:[^"\\]++|\\.)*+)"' % "|".join(names).encode(), re.DOTALL)


def _unescaped(text: bytes) -> str:
    """The inside of a JSON string. Halves of characters that came apart find each other again, or stay halves."""
    quoted = b'"%b"' % text
    try:
        whole = orjson.loads(quoted)
    except orjson.JSONDecodeError:
        try:
            whole = json.loads(quoted.decode("utf-8", "replace"), strict=False)
        except ValueError:
            return text.decode("utf-8", "replace")
    return str(whole)
