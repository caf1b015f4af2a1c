"""What an answer said, kept for the case that nobody reports how much it was.

Events are kept as they came and read some dozens at a time: an ordinary chunk costs an append and its share of one
search. Text is bounded; beyond the bound only its length is known.
"""

import json
from functools import cache

import orjson
from msgspec import Struct, field

from metering.estimate.text import utf8_bytes
from metering.formats.format import JsonObject, WireFormat
from metering.framing import Framing, cut
from metering.usual_event import NOT_PLAIN, UsualEvent, pattern

# About sixty chunks of OpenAI's; so much of a stream is in memory beside its text.
FOLD_BYTES = 16 << 10
# 250,000 tokens of English: more than any model writes.
MAX_TEXT_CHARS = 1 << 20
# Two halves of a character are three bytes each, and four together.
_BYTES_SAVED_BY_PAIRING = 2
# A piece of text in a list of them, beside its bytes.
_PIECE_BYTES = 64


class Texts(Struct):
    """The parallel texts of an answer (choices, their reasoning, their tool calls), each by a name of its own.

    `pieces_said`: how many pieces with something in them came. No server sends less than a token at a time.
    `kept_bytes`: how long `whole` is in UTF-8.
    """

    pieces: dict[str, list[str]] = field(default_factory=dict)
    pieces_said: int = 0
    kept_chars: int = 0
    dropped_bytes: int = 0
    kept_bytes: int = 0

    def add(self, wire: WireFormat, data: bytes) -> None:
        """One event's JSON; what is none holds no text."""
        try:
            event = orjson.loads(data)
        except orjson.JSONDecodeError:
            return
        if isinstance(event, dict):
            self.take(wire, event)

    def take(self, wire: WireFormat, event: JsonObject) -> None:
        """One event, or a whole answer."""
        for where, text in wire.texts(event):
            if text:
                self._keep(where, text, 1)

    def keep(self, where: str, texts: list[str]) -> None:
        """Pieces of one text, none of them empty. It comes to the same however many are kept at a time."""
        together = _paired("".join(texts))
        if self.kept_chars + sum(map(len, texts)) <= MAX_TEXT_CHARS:
            self._keep(where, together, len(texts))
        else:
            for text in texts:
                self._keep(where, text, 1)

    def _keep(self, where: str, text: str, pieces: int) -> None:
        self.pieces_said += pieces
        if self.kept_chars + len(text) > MAX_TEXT_CHARS:
            self.dropped_bytes += utf8_bytes(text)
            return
        kept = self.pieces.setdefault(where, [])
        self.kept_chars += len(text)
        self.kept_bytes += utf8_bytes(text)
        if kept and _are_halves(kept[-1][-1], text[0]):
            self.kept_chars -= 1
            self.kept_bytes -= _BYTES_SAVED_BY_PAIRING
        kept.append(text)

    def whole(self) -> list[str]:
        return [_paired("".join(pieces)) for pieces in self.pieces.values()]


class TextKeeper(Struct):
    """The texts of a stream. `is_single`: there is one answer in it, so whose a text is need not be asked."""

    wire: WireFormat
    framing: Framing
    is_single: bool = False
    texts: Texts = field(default_factory=Texts)
    _raw: list[bytes] = field(default_factory=list)
    _rest: bytearray = field(default_factory=bytearray)
    _size: int = 0
    _usual: UsualEvent | None = None
    _insides: list[bytes] = field(default_factory=list)

    def feed_usual(self, event: UsualEvent, inside: bytes) -> None:
        """A whole event, of which the text is known already. Only where there is one answer in the stream."""
        if self._usual is not event or self._raw:
            self._fold()
            self._usual = event
        self._insides.append(inside)
        self._size += len(inside) + _PIECE_BYTES
        if self._size > FOLD_BYTES:
            self._fold()

    def feed(self, data: bytes) -> None:
        if self._insides:
            self._fold()
        self._raw.append(data)
        self._size += len(data)
        if self._size > FOLD_BYTES:
            self._fold()

    def so_far(self) -> Texts:
        """What was said in events that have ended; what was read is not read again, now or at the end."""
        self._fold()
        return self.texts

    def finish(self) -> Texts:
        """All that was said, of an event nobody closed too."""
        self._fold()
        rest = bytes(self._rest)
        self._rest.clear()
        self._size = 0
        self.texts.add(self.wire, self.framing.data_of(rest))
        return self.texts

    def _fold(self) -> None:
        if self._insides:
            self._read_insides()
        raw = b"".join(self._raw)
        if not self._rest and raw.endswith(self.framing.end) and self._is_plain(raw):
            self._read_plainly(raw)  # whole events, as almost always: where each of them ends need not be known
            self._raw, self._size = [], 0
            return
        whole, ends = self.framing.take(self._rest, raw)
        if self._is_plain(whole):
            self._read_plainly(whole)
        else:
            for event in cut(whole, ends):  # each is judged by itself: what comes with it must not matter
                if self._is_plain(event):
                    self._read_plainly(event)
                else:
                    self.texts.add(self.wire, self.framing.data_of(event))
        if len(self._rest) > FOLD_BYTES:  # an event of this size is media, or nothing we know
            self.texts.dropped_bytes += len(self._rest)
            self._rest.clear()
        self._raw, self._size = [], len(self._rest)

    def _read_insides(self) -> None:
        """One that would not end at its quote, or goes over several lines, makes them all be read as they came."""
        usual, insides = self._usual, self._insides
        assert usual is not None
        self._insides = []
        joined = _JOINT.join(insides)
        if joined.endswith(b"\\") or any(joined.find(sign) >= 0 for sign in _ODD_INSIDE):
            self._raw = [usual.event(inside) for inside in insides]
        elif found := [inside for inside in insides if inside]:
            self.texts.keep("", _unescaped(found))

    def _is_plain(self, events: bytes) -> bool:
        return self.is_single and bool(self.wire.text_fields) and all(events.find(mark) < 0 for mark in NOT_PLAIN)

    def _read_plainly(self, events: bytes) -> None:
        """The values of the fields that are text, by one search: a tenth of what parsing costs."""
        names = tuple([name for name, key in _keys(self.wire.text_fields) if events.find(key) >= 0])
        found = [text for text in pattern(names).findall(events) if text] if names else []
        if found:
            self.texts.keep("", _unescaped(found))


_JOINT = b'","'
# A backslash before the quote says that the text goes on.
_ODD_INSIDE = (b"\n", b"\r", b"\\" + _JOINT)


@cache
def _keys(names: tuple[str, ...]) -> tuple[tuple[str, bytes], ...]:
    return tuple((name, f'"{name}"'.encode()) for name in names)


def _unescaped(texts: list[bytes]) -> list[str]:
    """The insides of JSON strings. Where one is badly written, each is read by itself."""
    try:
        return orjson.loads(b'["%b"]' % _JOINT.join(texts))  # type: ignore[no-any-return]
    except orjson.JSONDecodeError:
        return [_unescaped_odd(text.decode("utf-8", "replace")) for text in texts]


def _unescaped_odd(text: str) -> str:
    """Half a character stays one; what cannot be read at all is taken as it stands."""
    try:
        return str(json.loads(f'"{text}"', strict=False))
    except ValueError:
        return text


def _are_halves(last: str, first: str) -> bool:
    return "\ud800" <= last <= "\udbff" and "\udc00" <= first <= "\udfff"


def _paired(text: str) -> str:
    """Halves of characters that came apart find each other again, or stay halves."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
    return text
