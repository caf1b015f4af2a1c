"""The tap: reads along as bytes pass, and ends in a reading of what was used.

An ordinary chunk costs a few scans for short words and no JSON. A tap alters nothing, with one exception: where we
asked for usage and the client did not, `StreamTap` gives back the bytes without what that added. Only then does it
hold anything back, and then only an event that has not ended yet.
"""

import re
from dataclasses import dataclass, field
from json import JSONDecoder
from typing import Any

from metering.chat import ChunkReading, read_answer, without_null_usage
from metering.sse import data_of, split_events
from metering.usage import Reading, read_openai_usage

# A usage chunk is under 2 KiB in every dialect known; an event longer than this is content and passes unread.
MAX_EVENT_BYTES = 64 << 10
# Answers longer than this (long log-probabilities, base64 media) are read from their end only.
MAX_ANSWER_BYTES = 8 << 20
_ANSWER_TAIL_BYTES = 64 << 10

_CHUNK_MARK = b'"choices"'
_COMPACT_NULL = b',"usage":null'
# The brace before the end of an event closes the chunk itself: this null is the chunk's own. OpenAI's is the last but
# one, before a string of random length (`obfuscation`).
_OWN_NULL = re.compile(rb',"usage":null(?=(?:,"\w+":"\w*")?\}\n\n)')
_USAGE_KEY = b'"usage"'
_READABLE = (_USAGE_KEY, b'"error"', b"[DONE]")
_DONE = b"[DONE]"


@dataclass(slots=True)
class StreamTap:
    """Reads a chat completion's event stream. `remove_usage`: we asked for usage, the client did not."""

    remove_usage: bool
    reading: Reading = field(default_factory=Reading)
    chunks_seen: int = 0
    is_done: bool = False
    has_error: bool = False
    _rest: bytes = b""
    _is_oversize: bool = False
    _cut_mark: bytes = b""

    def feed(self, data: bytes) -> bytes:
        """Take what arrived, give back what goes to the client now."""
        self._count_chunks(data)
        is_whole = not self._rest and not self._is_oversize and data.endswith(b"\n\n")
        if is_whole and len(data) <= MAX_EVENT_BYTES:
            passed = self._pass_ordinary(data)
            if passed is not None:
                return passed
        kept = self._read_events(data)
        return kept if self.remove_usage else data

    def finish(self) -> bytes:
        """The stream ended: read what is left of an event nobody closed, and let it go."""
        rest, self._rest = self._rest, b""
        if not rest or self._is_oversize:
            return rest if self.remove_usage else b""
        kept = self._read_event(rest)
        return kept if self.remove_usage else b""

    def _count_chunks(self, data: bytes) -> None:
        seen = self._cut_mark + data
        self.chunks_seen += seen.count(_CHUNK_MARK)
        self._cut_mark = b"" if data.endswith(b"\n") else seen[1 - len(_CHUNK_MARK) :]

    def _pass_ordinary(self, data: bytes) -> bytes | None:
        """Whole events that say nothing to the meter, without parsing; None if they must be read."""
        if b'"error"' in data or _DONE in data:
            return None
        keys = data.count(_USAGE_KEY)
        if keys == 0:
            return data
        if not self.remove_usage:
            return data if keys == data.count(_COMPACT_NULL) else None
        kept, removed = _OWN_NULL.subn(b"", data)
        return kept if removed == keys else None

    def _read_events(self, data: bytes) -> bytes:
        events, rest = split_events(self._rest + data if self._rest else data)
        kept = [self._read_event(event) for event in events]
        if self._is_oversize or len(rest) > MAX_EVENT_BYTES:
            self._is_oversize = True
            # line ends stay: they may be the first half of the blank line that ends the event
            passed = rest.rstrip(b"\r\n")
            kept.append(passed)
            rest = rest[len(passed) :]
        self._rest = rest
        return b"".join(kept)

    def _read_event(self, event: bytes) -> bytes:
        was_oversize, self._is_oversize = self._is_oversize, False
        if was_oversize or len(event) > MAX_EVENT_BYTES or not any(mark in event for mark in _READABLE):
            return event
        data = data_of(event)
        if data.startswith(_DONE):
            self.is_done = True
            return event
        said = read_answer(data)
        return event if said is None else self._note(event, said)

    def _note(self, event: bytes, said: ChunkReading) -> bytes:
        self.reading = self.reading.updated(said.usage)
        self.has_error = self.has_error or said.is_error
        if not self.remove_usage:
            return event
        if said.is_usage_only:
            return b""
        return without_null_usage(event) if said.has_null_usage else event


@dataclass(slots=True)
class AnswerTap:
    """Reads an answer that is one JSON object. Bytes pass as they are; a bounded part is kept to be read.

    `text_bytes`: what could not be read as JSON and must be taken for text, in bytes.
    """

    reading: Reading = field(default_factory=Reading)
    has_error: bool = False
    choices: Any = None
    text_bytes: int = 0
    _seen_bytes: int = 0
    _parts: list[bytes] = field(default_factory=list)
    _size: int = 0
    _is_tail: bool = False

    def feed(self, data: bytes) -> bytes:
        self._parts.append(data)
        self._seen_bytes += len(data)
        self._size += len(data)
        if self._size > MAX_ANSWER_BYTES or (self._is_tail and self._size > 2 * _ANSWER_TAIL_BYTES):
            tail = b"".join(self._parts)[-_ANSWER_TAIL_BYTES:]
            self._parts, self._size, self._is_tail = [tail], len(tail), True
        return data

    def finish(self) -> bytes:
        body = b"".join(self._parts)
        if self._is_tail:
            self.reading = usage_in_tail(body)
            self.text_bytes = self._seen_bytes
        elif (said := read_answer(body.strip())) is not None:
            self.reading, self.has_error, self.choices = said.usage, said.is_error, said.choices
        else:
            self.text_bytes = self._seen_bytes
        return b""


Tap = StreamTap | AnswerTap

_LAST_USAGE = re.compile(rb'.*(?<!\\)"usage"\s*:\s*', re.DOTALL)


def usage_in_tail(tail: bytes) -> Reading:
    """The last `"usage": {…}` in the end of a JSON text.

    Inside a JSON string a quote is escaped: without a backslash before it, what is found is the key.
    """
    match = _LAST_USAGE.match(tail)
    if match is None:
        return Reading()
    try:
        usage, _ = JSONDecoder().raw_decode(tail[match.end() :].decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        return Reading()
    return read_openai_usage(usage)
