"""The tap: reads along as bytes pass, and ends in a tally of what was used.

An ordinary chunk costs a few scans for short words and no JSON. A tap alters nothing, with one exception: where we
asked for a count and the client did not, `StreamTap` gives back the bytes without what that added. Only then does it
hold anything back, and then only an event that has not ended yet.
"""

import re
from json import JSONDecoder

from msgspec import Struct, field
from msgspec.structs import replace

from metering.formats import audio, chat
from metering.formats.format import SAYS_NOTHING, Said, WireFormat, json_object, words_of
from metering.framing import SSE, Framing, cut
from metering.injection import NOTHING_REMOVED, Removal
from metering.progress import Progress
from metering.reading import NOTHING, Reading, Tally
from metering.removal import OWN_NULL, OWN_RUNNING, OWN_TIMINGS, without
from metering.text import TextKeeper, Texts

# A usage event is under 2 KiB in every dialect known; an event longer than this is content and passes unread. Only the
# last one of a format that says everything in it may be longer (Responses).
MAX_EVENT_BYTES = 64 << 10
# Answers longer than this (long log-probabilities, base64 media) are read from their end only.
MAX_ANSWER_BYTES = 8 << 20
_ANSWER_TAIL_BYTES = 64 << 10

_USAGE_KEY = b'"usage"'
_TIMINGS_KEY = b'"timings"'
_NO_CHOICES = b'"choices":[]'
_COMPACT_NULL = b',"usage":null'
_DONE = b"[DONE]"
_DONE_WORD = _DONE.decode()


class StreamTap(Struct):
    """Reads a stream of events. `keeps_text`: what is said is kept to be counted, until the server turns out to count
    along, or, where it is not `trusts_counts`, to the end.
    """

    wire: WireFormat = chat.FORMAT
    framing: Framing = SSE
    removal: Removal = NOTHING_REMOVED
    keeps_text: bool = False
    trusts_counts: bool = True
    tally: Tally = field(default_factory=Tally)
    is_done: bool = False
    is_finished: bool = False
    has_error: bool = False
    counts_along: bool = False
    _keeper: TextKeeper | None = None
    _rest: bytearray = field(default_factory=bytearray)
    _is_oversize: bool = False
    _oversize_tail: bytearray = field(default_factory=bytearray)
    _running: bytes = b""
    _words: tuple[tuple[bytes, str], ...] = ()

    def __post_init__(self) -> None:
        self._words = words_of(self.wire.marks)
        if self.keeps_text:
            self._keeper = TextKeeper(self.wire, self.framing, self.tally.is_single)

    def feed(self, data: bytes) -> bytes:
        """Take what arrived, give back what goes to the client now."""
        if self._keeper is not None:
            self._keeper.feed(data)
        is_whole = not self._rest and not self._is_oversize and data.endswith(self.framing.end)
        if is_whole and len(data) <= MAX_EVENT_BYTES:
            passed = self._pass_ordinary(data)
            if passed is not None:
                return passed
        kept = self._read_events(data)
        return kept if self.removal else data

    def finish(self) -> bytes:
        """The stream ended: read what is left of an event nobody closed, and let it go."""
        rest = bytes(self._rest)
        self._rest.clear()
        kept = rest if not rest or self._is_oversize else self._read_event(rest)
        self._read_running()
        return kept if self.removal else b""

    @property
    def reading(self) -> Reading:
        """What was said so far. Looking leaves no trace: what comes out at the end does not depend on who looked."""
        if not self._running:
            return self.tally.reading
        said = self._said_last(self._running)
        tally = replace(self.tally, by_choice=dict(self.tally.by_choice))
        tally.note(said.usage, said.choice)
        return tally.reading

    def texts(self) -> Texts:
        """What was said, if it was kept."""
        return self._keeper.finish() if self._keeper is not None else Texts()

    def progress(self) -> Progress:
        """What it came to so far, by events that have ended. What was looked at once is not read again."""
        reading = self.reading
        if reading.completion is not None and (self.counts_along or self.is_finished):
            return Progress(reading, is_counted=True)
        return _by_texts(reading, self._keeper.so_far() if self._keeper is not None else Texts())

    def _pass_ordinary(self, data: bytes) -> bytes | None:
        """Whole events that say nothing new to the meter, without parsing; None if they must be read.

        Searched as text: `in` tries what it looks for in bytes as a number first, and drops an error each time.
        """
        text = data.decode("latin-1")
        if _DONE_WORD in text:
            return None
        telling = []
        for mark, word in self._words:  # a comprehension would cost as much again
            if word in text:
                telling.append(mark)
        if not telling:
            return data
        if telling == [_USAGE_KEY]:
            return self._pass_usage(data)
        if telling == [_TIMINGS_KEY] and self.removal.timings:
            return self._pass_counted(data, _TIMINGS_KEY, OWN_TIMINGS)
        return None

    def _pass_usage(self, data: bytes) -> bytes | None:
        """Chunks with `"usage":null`, or with a running count that a later one will replace."""
        keys = data.count(_USAGE_KEY)
        if keys == data.count(_COMPACT_NULL):
            if not self.removal.nulls:
                return data
            kept, removed = OWN_NULL.subn(b"", data)
            return kept if removed == keys else None
        if self.removal.running and self.tally.is_single and _NO_CHOICES not in data:
            return self._pass_counted(data, _USAGE_KEY, OWN_RUNNING)
        return None

    def _pass_counted(self, data: bytes, key: bytes, own: re.Pattern[bytes]) -> bytes | None:
        """Only the last of these counts matters: it is read when somebody asks."""
        kept, removed = own.subn(b"", data)
        if removed != data.count(key):
            return None
        self._running = data
        self._server_counts()
        return kept

    def _server_counts(self) -> None:
        self.counts_along = True
        if self.trusts_counts:
            self._keeper = None

    def _read_running(self) -> None:
        data, self._running = self._running, b""
        if data:
            self._note(self._said_last(data))

    def _said_last(self, data: bytes) -> Said:
        events, _ = self.framing.split(data)
        return self._said(self.framing.data_of(events[-1]))

    def _read_events(self, data: bytes) -> bytes:
        whole, ends = self.framing.take(self._rest, data)
        kept = [self._read_event(event) for event in cut(whole, ends)]
        if self._is_oversize or len(self._rest) > MAX_EVENT_BYTES:
            self._is_oversize = True
            kept.append(self._pass_oversize())
        return b"".join(kept)

    def _pass_oversize(self) -> bytes:
        """What has come of an event that is too long. Line ends stay: they may begin the blank line that ends it."""
        passed = bytes(self._rest.rstrip(self.framing.line_ends))
        del self._rest[: len(passed)]
        if self.wire.ends_long:
            _keep_tail(self._oversize_tail, passed)
        return passed

    def _read_event(self, event: bytes) -> bytes:
        if self._is_oversize or len(event) > MAX_EVENT_BYTES:
            if self.wire.ends_long:
                self._read_oversize(bytes(self._oversize_tail) + event)
                self._oversize_tail.clear()
            self._is_oversize = False
            return event
        if _DONE not in event and not any(mark in event for mark in self.wire.marks):
            return event
        data = self.framing.data_of(event)
        if data.startswith(_DONE):
            self.is_done = True
            return event
        said = self._said(data)
        self._note(said)
        return self._without_what_we_asked_for(event, said) if self.removal else event

    def _read_oversize(self, event: bytes) -> None:
        """The end of an event that is too long to be parsed: a whole answer, in the last event of some formats."""
        tail = event[-_ANSWER_TAIL_BYTES:]
        if _USAGE_KEY in tail:
            self._note(Said(usage=usage_in_tail(tail, self.wire)))
            self.is_finished = True

    def _said(self, data: bytes) -> Said:
        fields = json_object(data)
        return SAYS_NOTHING if fields is None else self.wire.read(fields)

    def _note(self, said: Said) -> None:
        self._read_running()  # what was said before goes before
        self.tally.note(said.usage, said.choice)
        if self.tally.counts_along:
            self._server_counts()
        self.has_error = self.has_error or said.is_error
        self.is_finished = self.is_finished or said.is_finish
        self.is_done = self.is_done or said.is_end

    def _without_what_we_asked_for(self, event: bytes, said: Said) -> bytes:
        removal = self.removal
        if said.is_usage_only:
            return b"" if removal.usage_chunk else event
        fields = json_object(self.framing.data_of(event))
        if fields is None:
            return event
        if "usage" in fields and (removal.nulls if fields["usage"] is None else removal.running):
            event = without(event, "usage", self.framing.data_of)
        if removal.timings and "timings" in fields and not said.is_finish:
            event = without(event, "timings", self.framing.data_of)
        return event


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
        if self._size > MAX_ANSWER_BYTES or (self._is_tail and self._size > 2 * _ANSWER_TAIL_BYTES):
            tail = b"".join(self._parts)[-_ANSWER_TAIL_BYTES:]
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
                Progress(self.reading, True) if is_counted else _by_texts(self.reading, self.texts(), self.text_bytes)
            )
        return Progress(unread_bytes=self._seen_bytes if self.is_text else 0)

    def _read_text(self, body: bytes) -> None:
        self.text_bytes = self._seen_bytes
        if self.wire is audio.TRANSCRIPTION:
            self.reading = audio.read_subtitles(body.decode("utf-8", "replace"))


Tap = StreamTap | AnswerTap


def _keep_tail(kept: bytearray, data: bytes) -> None:
    """Add to it and keep its end, and at most as much again: cut each time, it would be moved for every byte."""
    kept += data[-_ANSWER_TAIL_BYTES:]
    if len(kept) > 2 * _ANSWER_TAIL_BYTES:
        del kept[:-_ANSWER_TAIL_BYTES]


def _by_texts(reading: Reading, said: Texts, unread_bytes: int = 0) -> Progress:
    return Progress(reading, False, said.pieces_said, said.kept_bytes, said.dropped_bytes + unread_bytes)


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
