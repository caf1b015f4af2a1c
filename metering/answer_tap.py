"""The tap of an answer that is one piece, not a stream: JSON, subtitles, or sound. Bytes pass as they are."""

import re
from json import JSONDecoder
from typing import Any

import orjson
from msgspec import Struct, field

from metering.formats import audio, chat
from metering.formats.format import WireFormat
from metering.progress import Progress
from metering.reading import NOTHING, Reading
from metering.text import Texts

# Answers longer than this (long log-probabilities, base64 media) are read from their end only.
MAX_ANSWER_BYTES = 8 << 20
ANSWER_TAIL_BYTES = 64 << 10


class AnswerTap(Struct):
    """Reads an answer that is one JSON object, or subtitles, or sound. A bounded part is kept to be read.

    `text_bytes`: what could not be read as JSON and must be taken for text, in bytes.
    """

    wire: WireFormat = chat.FORMAT
    is_text: bool = True
    has_error: bool = False
    is_finished: bool = False
    text_bytes: int = 0
    reading: Reading = NOTHING
    _texts: Texts | None = None
    _unread: bytes = b""  # the answer, until somebody asks for its texts
    _seen_bytes: int = 0
    _parts: list[bytes] = field(default_factory=list)
    _size: int = 0
    _is_tail: bool = False
    _is_ended: bool = False

    def feed(self, data: bytes) -> bytes:
        self._parts.append(data)
        self._seen_bytes += len(data)
        self._size += len(data)
        if self._size > MAX_ANSWER_BYTES or (self._is_tail and self._size > 2 * ANSWER_TAIL_BYTES):
            tail = b"".join(self._parts)[-ANSWER_TAIL_BYTES:]
            self._parts, self._size, self._is_tail = [tail], len(tail), True
        return data

    def finish(self) -> bytes:
        body = b"".join(self._parts)
        self._parts, self._is_ended = [], True
        if self._is_tail:
            self.reading = usage_in_tail(body, self.wire)
            self.text_bytes = self._seen_bytes if self.is_text else 0
        elif self.wire.usual_usage is not None and (usual := self.wire.usual_usage(body)):
            self.reading, self.is_finished, self._unread = usual, True, body
        elif (fields := json_object(body.strip())) is not None:
            said = self.wire.read(fields)
            self.reading, self.has_error, self.is_finished, self._unread = said.usage, said.is_error, True, body
        elif self.is_text:
            self._read_text(body)
        return b""

    def texts(self) -> Texts:
        """Where the server said what it used, nobody asks for them."""
        if self._texts is None:
            self._texts = Texts()
            self._texts.take(self.wire, json_object(self._unread.strip()) or {})
            self._unread = b""
        return self._texts

    def progress(self) -> Progress:
        """Until it has ended all of it is taken for text, if there is text in it; then it is what was read."""
        if self._is_ended:
            is_counted = self.is_finished and self.reading.completion is not None
            return (
                Progress(self.reading, True)
                if is_counted
                else progress_by_texts(self.reading, self.texts(), self.text_bytes)
            )
        return Progress(unread_bytes=self._seen_bytes if self.is_text else 0)

    def _read_text(self, body: bytes) -> None:
        self.text_bytes = self._seen_bytes
        if self.wire is audio.TRANSCRIPTION:
            self.reading = audio.read_subtitles(body.decode("utf-8", "replace"))


def progress_by_texts(reading: Reading, said: Texts, unread_bytes: int = 0) -> Progress:
    return Progress(reading, False, said.pieces_said, said.kept_bytes, said.dropped_bytes + unread_bytes)


def json_object(data: bytes) -> dict[str, Any] | None:
    """None if it is anything else: `[DONE]`, a comment, another tongue."""
    try:
        fields = orjson.loads(data)
    except orjson.JSONDecodeError:
        return None
    return fields if isinstance(fields, dict) else None


_LAST_USAGE = re.compile(rb'.*(?<!\\)"usage"\s*:\s*', re.DOTALL)


def usage_in_tail(tail: bytes, wire: WireFormat = chat.FORMAT) -> Reading:
    """The last `"usage": {…}` in the end of a JSON text.

    Inside a JSON string a quote is escaped: without a backslash before it, what is found is the key.
    """
    match = _LAST_USAGE.match(tail)
    if match is None:
        return NOTHING
    try:
        usage, _ = JSONDecoder().raw_decode(tail[match.end() :].decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        return NOTHING
    return wire.read({"usage": usage}).usage
